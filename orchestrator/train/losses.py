"""Losses of processes: how many a run may have before it fails."""

from orchestrator.errors import JobFailed
from orchestrator.events import Restarted
from orchestrator.run_facts import Events, facts_of
from orchestrator.store.folder import StorageTrouble
from orchestrator.store.run_folder import Reached, RunFolder


class Losses:
    """Counts the losses of a run's processes since the last new checkpoint.

    whose: the subject of a sentence about them. count: how many there were since then.
    """

    def __init__(
        self, run: str, folder: RunFolder, allowed: int, whose: str = "Workers were"
    ) -> None:
        self._run = run
        self._folder = folder
        self._allowed = allowed
        self._whose = whose
        self._reached = self._newest()
        self.count = 0

    def add(self, reason: str) -> None:
        """Report that what was lost is started again, and why it was lost.

        Raises JobFailed after too many losses without a new checkpoint.
        """
        reached = self._newest()
        if reached and (self._reached is None or reached > self._reached):
            self._reached, self.count = reached, 0
        self.count += 1
        if self.count > self._allowed:
            raise JobFailed(self._given_up(reason))
        before = facts_of(self._folder).restarted
        count = before.count + 1 if before else 1
        Events(self._folder).say(Restarted(count=count, reason=reason))

    def _newest(self) -> Reached | None:
        """Return how far the checkpoints are; None also where nobody can say."""
        try:
            return self._folder.newest()
        except StorageTrouble:
            return None

    def _given_up(self, reason: str) -> str:
        times = "once" if self.count == 1 else f"{self.count} times"
        at = self._reached
        since = f"the checkpoint at {at}" if at else "the start"
        return (
            f"{self._whose} lost {times} since {since}; cluster.max_failures = {self._allowed} "
            f"allows no more without a new checkpoint. {reason} Checkpoints stay as they are: "
            f"`orch resume {self._run}` continues from the last one."
        )
