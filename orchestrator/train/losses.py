"""Losses of workers: what happened to them, and how many a run may have before it fails."""

import re
from collections.abc import Mapping

from orchestrator.errors import JobFailed, OrchError
from orchestrator.events import Restarted
from orchestrator.plan.batch import SMALLER_PASS
from orchestrator.run_facts import Events
from orchestrator.store.run_folder import RunFolder
from orchestrator.train.failures import first_line
from orchestrator.train.ranks import LostRank

_OUT_OF_MEMORY = re.compile("OutOfMemory|NODE_OUT_OF_MEMORY|running low on memory")
_NODE_LOST = re.compile("node has died|node .*(?:is dead|was lost|marked dead)", re.IGNORECASE)
_ADDRESS = re.compile(r"\bip(?: address)?:\s*([0-9A-Fa-f.:]*[0-9A-Fa-f])", re.IGNORECASE)
_KILLED = ("WorkerHealthCheckFailedError", "ActorDiedError", "RayActorError")
_FROZEN = ("WorkerHealthCheckTimeoutError", "Frozen")


class Losses:
    """Counts the losses of a run's workers since the last new checkpoint."""

    def __init__(self, run: str, folder: RunFolder, allowed: int) -> None:
        self._run = run
        self._folder = folder
        self._allowed = allowed
        self._reached = self._folder.newest()
        self._count = 0
        self._restarts = 0

    def add(self, errors: Mapping[int, Exception]) -> None:
        """Report that the workers are restarted after these errors, by rank.

        Raises JobFailed after too many losses without a new checkpoint.
        """
        reached = self._folder.newest()
        if reached and (self._reached is None or reached > self._reached):
            self._reached, self._count = reached, 0
        self._count += 1
        reason = why_lost(errors)
        if self._count > self._allowed:
            raise JobFailed(self._given_up(reason))
        self._restarts += 1
        Events(self._folder).say(Restarted(count=self._restarts, reason=reason))

    def _given_up(self, reason: str) -> str:
        times = "once" if self._count == 1 else f"{self._count} times"
        at = self._reached
        since = f"the checkpoint at {at}" if at else "the start"
        return (
            f"Workers were lost {times} since {since}; cluster.max_failures = {self._allowed} "
            f"allows no more without a new checkpoint. {reason} Checkpoints stay as they are: "
            f"`orch resume {self._run}` continues from the last one."
        )


def cause(errors: Mapping[int, Exception]) -> OrchError | None:
    """Return the error that a rank named: the others' follow from it, and a restart is no help."""
    return next((e for _, e in sorted(errors.items()) if isinstance(e, OrchError)), None)


def why_lost(errors: Mapping[int, Exception]) -> str:
    """Return in a sentence or two what happened to the lost workers."""
    lost = {rank: e for rank, e in sorted(errors.items()) if not isinstance(e, LostRank)}
    return " ".join(_why(rank, error) for rank, error in (lost or errors).items())


def _why(rank: int, error: Exception) -> str:
    text = str(error)
    address = _ADDRESS.search(text)
    where = f" on {address[1]}" if address else ""
    if _OUT_OF_MEMORY.search(text):
        return f"Rank {rank} ran out of memory{where} and was killed. {SMALLER_PASS}"
    if _NODE_LOST.search(text):
        return f"The node of rank {rank}{where} is lost."
    if type(error).__name__ in _FROZEN:
        return f"Rank {rank} stopped answering: {first_line(error)}"
    if type(error).__name__ in _KILLED:
        return (
            f"The process of rank {rank}{where} was killed or crashed (the system also "
            "kills processes when memory runs out)."
        )
    if isinstance(error, LostRank):
        return f"Rank {rank} lost its connection to the others."
    return f"Rank {rank}: {first_line(error)}"
