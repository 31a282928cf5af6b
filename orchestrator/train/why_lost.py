"""What happened to lost workers, in a sentence, by the errors that Ray and the ranks give."""

import re
from collections.abc import Mapping

from orchestrator.errors import OrchError
from orchestrator.plan.batch import SMALLER_PASS
from orchestrator.train.failures import first_line
from orchestrator.train.ranks import LostRank

_OUT_OF_MEMORY = re.compile("OutOfMemory|NODE_OUT_OF_MEMORY|running low on memory")
_NODE_LOST = re.compile("node has died|node .*(?:is dead|was lost|marked dead)", re.IGNORECASE)
_ADDRESS = re.compile(r"\bip(?: address)?:\s*([0-9A-Fa-f.:]*[0-9A-Fa-f])", re.IGNORECASE)
_KILLED = ("WorkerHealthCheckFailedError", "ActorDiedError", "RayActorError")
_NO_NODE = "ActorUnschedulableError"
"""Of an actor that is bound to a node, such as the controller: that is not there any more."""
_FROZEN = ("WorkerHealthCheckTimeoutError", "Frozen")


def cause(errors: Mapping[int, Exception]) -> OrchError | None:
    """Return the error that a rank named: the others' follow from it, and a restart is no help."""
    return next((e for _, e in sorted(errors.items()) if isinstance(e, OrchError)), None)


def why_lost(errors: Mapping[int, Exception]) -> str:
    """Return in a sentence or two what happened to the lost workers."""
    lost = {rank: e for rank, e in sorted(errors.items()) if not isinstance(e, LostRank)}
    return " ".join(_why(f"rank {rank}", error) for rank, error in (lost or errors).items())


def why_lost_at_start(error: Exception) -> str:
    """Return in a sentence or two what happened to a worker that was starting."""
    return _why("a worker that was starting", error)


def why_lost_controller(error: Exception) -> str:
    """Return in a sentence or two what happened to the process that leads the workers."""
    return _why("Ray Train's controller", error)


def _why(who: str, error: Exception) -> str:
    """Return what happened to a worker: "Rank 3 ..." of one that is called "rank 3"."""
    text = str(error)
    subject = who[0].upper() + who[1:]
    address = _ADDRESS.search(text)
    where = f" on {address[1]}" if address else ""
    if _OUT_OF_MEMORY.search(text):
        return f"{subject} ran out of memory{where} and was killed. {SMALLER_PASS}"
    if _NODE_LOST.search(text) or type(error).__name__ == _NO_NODE:
        return f"The node of {who}{where} is lost."
    if type(error).__name__ in _FROZEN:
        return f"{subject} stopped answering: {first_line(error)}"
    if type(error).__name__ in _KILLED:
        return (
            f"The process of {who}{where} was killed or crashed (the system also "
            "kills processes when memory runs out)."
        )
    if isinstance(error, LostRank):
        return f"{subject} lost its connection to the others."
    return f"{subject}: {first_line(error)}"
