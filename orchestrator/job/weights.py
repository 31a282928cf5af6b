"""The weights that a job names: those that it starts from, and those of its teachers."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from orchestrator.typed_json import Values

if TYPE_CHECKING:
    from orchestrator.job.schema import Job

TEACHER = "teacher_weights"


def named(job: "Job") -> list[str]:
    """Return all weights that a job starts from or its teachers have, each once."""
    if job.start.source == "scratch":
        job = job.model_copy(update={"start": job.start.model_copy(update={"weights": None})})
    found: dict[str, None] = {}

    def note(weights: str) -> str:
        found[weights] = None
        return weights

    renamed(job, note)
    return list(found)


def renamed(job: "Job", new: Callable[[str], str]) -> "Job":
    """Return the job with what a function makes of the weights that it and its phases name."""
    changes: dict[str, object] = {
        "phases": tuple(_phase(phase, new) for phase in job.phases),
    }
    if job.start.weights is not None:
        changes["start"] = job.start.model_copy(update={"weights": new(job.start.weights)})
    if (taught := getattr(job.method, TEACHER, None)) is not None:
        changes["method"] = job.method.model_copy(update={TEACHER: new(taught)})
    return job.model_copy(update=changes)


def _phase(phase: Values, new: Callable[[str], str]) -> Values:
    method = phase.get("method", {})
    if not method.get(TEACHER):
        return phase
    return phase | {"method": method | {TEACHER: new(method[TEACHER])}}


def unsuitable(method: str, job: "Job") -> str:
    """Return why a job cannot start from a run of some method; nothing if it can."""
    if job.start.source == "float" and method != "float":
        return (
            f"'{method}', not 'float'; jobs/float has a job for each float model, and "
            "start.from: checkpoint starts from a quantized one."
        )
    if job.start.source == "checkpoint" and method == "float" != job.method.name:
        return "'float'; start.from: float starts from it."
    return ""
