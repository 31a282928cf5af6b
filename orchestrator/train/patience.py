"""How often lost workers are restarted: counted since the run last made progress.

Ray Train would count over the whole run, and would retry errors in the code just the same. It asks
this callback, in its controller, after every failure; an exception raised here ends the run.
"""

import re
from typing import Any

from ray.train import ControllerError, UserCallback

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


class Patience(UserCallback):  # type: ignore[misc]
    """Ends the run at an error in its code, or after too many losses without a new checkpoint."""

    def __init__(self, run: str, folder: RunFolder, max_failures: int) -> None:
        self._run = run
        self._folder = folder
        self._allowed = max_failures
        self._reached = self._folder.newest()
        self._failures = 0
        self._restarts = 0

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Raise ControllerError, which Ray Train does not retry, or let it restart the workers.

        An error that a rank named has priority over those of the others, which follow from it.
        """
        for _, error in sorted(worker_exceptions.items()):
            if isinstance(error, OrchError):
                raise ControllerError(error)
        reached = self._folder.newest()
        if reached and (self._reached is None or reached > self._reached):
            self._reached, self._failures = reached, 0
        self._failures += 1
        reason = why_lost(worker_exceptions)
        if self._failures > self._allowed:
            raise ControllerError(JobFailed(self._given_up(reason)))
        self._restarts += 1
        Events(self._folder).say(Restarted(count=self._restarts, reason=reason))

    def _given_up(self, reason: str) -> str:
        times = "once" if self._failures == 1 else f"{self._failures} times"
        at = self._reached
        since = f"the checkpoint at {at}" if at else "the start"
        return (
            f"Workers were lost {times} since {since}; cluster.max_failures = {self._allowed} "
            f"allows no more without a new checkpoint. {reason} Checkpoints stay as they are: "
            f"`orch resume {self._run}` continues from the last one."
        )


def why_lost(errors: dict[int, Exception]) -> str:
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
    if type(error).__name__ == "WorkerHealthCheckTimeoutError":
        return f"Rank {rank} stopped answering: {first_line(error)}"
    if type(error).__name__ == "WorkerHealthCheckFailedError":
        return (
            f"The process of rank {rank}{where} was killed or crashed (the system also "
            "kills processes when memory runs out)."
        )
    if isinstance(error, LostRank):
        return f"Rank {rank} lost its connection to the others."
    return f"Rank {rank}: {first_line(error)}"
