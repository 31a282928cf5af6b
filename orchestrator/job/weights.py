"""The weights that a job names: those that it starts from, and those of its teachers."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.typed_json import Values

if TYPE_CHECKING:
    from orchestrator.job.schema import Job

TEACHER = "teacher_weights"
FILES = (".pt", ".pth", ".safetensors")
SEARCH = "is a search; a run starts from one run, such as its trial t007 once that ends"
"""Why no job can start or learn from a run."""

_RUN = re.compile(r"-\d{8}-\d{6}-[0-9a-f]{4}$")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def is_run(given: str, folder: Path | None = None) -> bool:
    """Return whether weights are given as a run's name: one word, and no file of weights.

    folder: where relative paths start; what is there goes first.
    """
    is_word = _NAME.fullmatch(given) is not None and not given.endswith(FILES)
    return is_word and not (folder is not None and (folder / given).exists())


def no_weights(given: str) -> str:
    """Return what is wrong with weights that are neither a file nor a run."""
    if is_run(given):
        return (
            f"there is no file and no run called {given}. Name others, or submit the job that "
            "trains them along with this one: `orch submit FILE FILE`."
        )
    run = Path(given).name
    resume = f" If that run ended before it began, `orch resume {run}` lets it begin."
    return f"there is no file and no run at {given}." + resume * bool(_RUN.search(given))


def named(job: "Job") -> list[str]:
    """Return all weights that a job starts from or its teachers have, each once."""
    found = [job.start.weights if job.start.source != "scratch" else None]
    for phase in job.phase_jobs():
        if getattr(phase.method, "teacher", "none") != "none":
            found.append(getattr(phase.method, TEACHER, None))
    return list(dict.fromkeys(filter(None, found)))


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
