"""Losses of processes: how many a run may have before it fails."""

from typing import NamedTuple, Protocol

from orchestrator.errors import JobFailed
from orchestrator.events import Restarted
from orchestrator.run_facts import facts_of, tell
from orchestrator.search.journal import SearchJournal
from orchestrator.search.records import Ended, Reported
from orchestrator.store.run_folder import RunFolder
from orchestrator.store.search_folder import SearchFolder


class Gained(NamedTuple):
    """What a run has gained, which no loss of a process takes away.

    amount: grows with all that is new. since: the moment at which there was so much.
    """

    amount: tuple[int, ...]
    since: str


class Gain(Protocol):
    """What counts as a run's progress."""

    new: str
    kept: str

    def __call__(self) -> Gained | None:
        """Return how much there is; None when there is nothing. Raises OSError."""


class Checkpoints:
    """The checkpoints of a run, by the newest one."""

    new = "a new checkpoint"
    kept = "Checkpoints stay as they are: {resume} continues from the last one."

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    def __call__(self) -> Gained | None:
        """Return how far the newest one is; None without one. Raises OSError."""
        newest = self._folder.newest()
        return Gained(newest, f"the checkpoint at {newest}") if newest else None


class Trials:
    """The trials of a search, by the epochs and the ends of them that its journal has.

    What each new driver writes by itself, that it began and handed out runs, is no progress.
    """

    new = "a new epoch of a trial"
    kept = "What the trials have reached stays: {resume} goes on from there."

    def __init__(self, folder: RunFolder) -> None:
        self._journal = SearchJournal(SearchFolder(folder))

    def __call__(self) -> Gained | None:
        """Return how many there are; None without one. Raises OSError."""
        count = sum(isinstance(record, Reported | Ended) for record in self._journal.read().records)
        return Gained((count,), "the last epoch of a trial") if count else None


class Losses:
    """Counts the losses of a run's processes since its last progress.

    whose: the subject of a sentence about them. gain: what progress is; checkpoints by default.
    count: how many there were since then.
    """

    def __init__(
        self,
        run: str,
        folder: RunFolder,
        allowed: int,
        whose: str = "Workers were",
        gain: Gain | None = None,
    ) -> None:
        self._run = run
        self._folder = folder
        self._allowed = allowed
        self._whose = whose
        self._gain = gain or Checkpoints(folder)
        self._before = self._gained()
        self.count = 0

    def add(self, reason: str) -> None:
        """Report that what was lost is started again, and why it was lost.

        Raises JobFailed after too many losses without progress.
        """
        gained = self._gained()
        if gained and (self._before is None or gained.amount > self._before.amount):
            self._before, self.count = gained, 0
        self.count += 1
        if self.count > self._allowed:
            raise JobFailed(self._given_up(reason))
        before = facts_of(self._folder).restarted
        count = before.count + 1 if before else self.count
        tell(self._folder, Restarted(count=count, reason=reason))

    def _gained(self) -> Gained | None:
        """Return how much there is; None also where nobody can say."""
        try:
            return self._gain()
        except OSError:
            return None

    def _given_up(self, reason: str) -> str:
        times = "once" if self.count == 1 else f"{self.count} times"
        since = self._before.since if self._before else "the start"
        return (
            f"{self._whose} lost {times} since {since}; cluster.max_failures = {self._allowed} "
            f"allows no more without {self._gain.new}. {reason} "
            f"{self._gain.kept.format(resume=f'`orch resume {self._run}`')}"
        )
