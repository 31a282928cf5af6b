"""The runs that a job names as its reference, its start or its teacher."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from models.precision import Precision
from orchestrator.cluster import local
from orchestrator.cluster.target import Target
from orchestrator.errors import JobFileError, OrchError, UsageError
from orchestrator.job import weights
from orchestrator.runs import registry, trials, view
from orchestrator.runs.registry import Record
from orchestrator.state import State, is_final

if TYPE_CHECKING:
    from orchestrator.job.schema import Job

_MLFLOW_ID = re.compile(r"[0-9a-f]{32}")


def resolved(job: "Job", together: Mapping[str, str] | None = None) -> "Job":
    """Return the job with run ids and folders in place of the names of runs.

    together: the folders of the runs that are submitted with it, by the names of their jobs; they
    go before earlier runs of these names. Raises UsageError with all problems of the names in
    `reference.runs`.
    """
    others = {name: folder for name, folder in (together or {}).items() if name != job.name}
    return _with_reference(weights.renamed(job, lambda given: _found(given, others)))


def _found(given: str, together: Mapping[str, str]) -> str:
    """Return a run's folder for its name; a path, and a name that no run has, as given."""
    if given in together:
        return together[given]
    record = registry.named(given) if weights.is_run(given) else None
    return record.run_dir if record else given


def awaited(
    job: "Job", target: Target | None, together: "Mapping[str, Job] | None" = None
) -> frozenset[str]:
    """Return the folders that a job starts or learns from, of runs that have no results yet.

    target: the job's cluster, None for the local one. together: the jobs that are submitted with
    it, by the folders of their runs. Raises UsageError for a run from which it cannot start or
    learn, since that is elsewhere or trains another network.
    """
    others = together or {}
    found = frozenset(
        given for given in weights.named(job) if given in others or _goes_on(given, job, target)
    )
    if not found:
        return found
    from orchestrator.prepare import preflight

    jobs = {folder: others.get(folder) or _job_of(folder) for folder in found}
    preflight.check_promised(job, {folder: one for folder, one in jobs.items() if one})
    return found


def _job_of(folder: str) -> "Job | None":
    """Return the job of a run that is known here, None if this version cannot read it."""
    from orchestrator.job.load import load_values

    record = registry.kept(Path(folder).name)
    assert record is not None
    try:
        return load_values(record.job, record.run).job
    except JobFileError:
        return None


def _goes_on(folder: str, job: "Job", target: Target | None) -> bool:
    """Return whether a folder is that of a run, not of a trial, that still goes on."""
    record = registry.kept(Path(folder).name)
    if record is None or record.run_dir != folder or record.folder.result.exists():
        return False
    if is_final(view.look(record).state):
        return False
    if record.is_search:
        problem = weights.SEARCH
    elif not _same_cluster(record, target):
        problem = "still goes on, on another cluster, and only runs of the same one are waited for"
    elif folder == job.start.weights and (
        method := weights.unsuitable(record.job["method"]["name"], job)
    ):
        problem = f"is trained by the method {method}".removesuffix(".")
    else:
        return True
    raise UsageError(f"{record.run} {problem}. `orch wait {record.run}` waits for its end.")


def _same_cluster(record: Record, target: Target | None) -> bool:
    head = None if target else local.running()
    here = target.client().url if target else head.url if head else ""
    return here.replace("localhost", "127.0.0.1") == record.address.replace(
        "localhost", "127.0.0.1"
    )


def _with_reference(job: "Job") -> "Job":
    """Return the job with MLflow's run ids in place of the names in `reference.runs`.

    A name is what every command takes: a run's id, a job's name, a unique beginning, or `last`.
    Those of points that do not count in Delta_B are left out. Raises UsageError with all that is
    wrong with them.
    """
    if job.reference is None or job.reference.runs is None:
        return job
    if one := _one_for_all(job.reference.runs):
        raise UsageError(
            f"reference.runs: {one} is one run, and Delta_B compares each point with a network "
            f"trained at it alone: {', '.join(job.reference.runs.values())}. `orch submit FILE "
            "--each-bit-width` trains these; {8: RUN, 4: RUN} names other ones."
        )
    ids: dict[str, str] = {}
    problems: list[str] = []
    for point in (point.name for point in job.compared):
        name = job.reference.runs[point]
        try:
            ids[point] = name if _MLFLOW_ID.fullmatch(name) else _mlflow_id(job, point, name)
        except OrchError as error:
            problems.append(f"reference.runs.{point}: {error}")
    if problems:
        raise UsageError("\n".join(problems))
    reference = job.reference.model_copy(update={"runs": ids})
    return job.model_copy(update={"reference": reference})


def _one_for_all(runs: Mapping[str, str]) -> str | None:
    """Return the name of the one run that `reference.runs: NAME` gives for all points, if it does.

    It stands for the runs NAME_8bit, NAME_4bit, ..., of which there is none then.
    """
    names = {run.removesuffix(f"_{point}") for point, run in runs.items()}
    if len(names) != 1 or names & set(runs.values()) or any(map(registry.named, runs.values())):
        return None
    record = registry.named(*names)
    return record.run if record else None


def _mlflow_id(job: "Job", point: str, name: str) -> str:
    """Return MLflow's id of the run with a name. Raises UsageError for an unsuitable one."""
    record = registry.find(name)
    record = replace(record, job=trials.job_of(record))
    if unlike := _unlike(job, point, record):
        raise UsageError(f"{record.run} {unlike}.")
    now = view.look(record)
    if now.state is not State.SUCCEEDED:
        raise UsageError(
            f"{record.run} is {now.state}; a reference is a run that has finished. "
            f"`orch wait {record.run}` waits for it."
        )
    if now.facts.record is None:
        raise UsageError(
            f"orch does not know where {record.run} is recorded; give MLflow's run id."
        )
    return now.facts.record.run_id


def _unlike(job: "Job", point: str, record: Record) -> str:
    """Return why a run is not an individual run at an operating point for the same task."""
    method, data = record.job["method"]["name"], record.job["data"]
    metric, own_metric = data.get("metric"), getattr(job.data, "metric", None)
    if method != "individual":
        return f"was trained by the method '{method}', not 'individual'"
    quantizer = record.job["quantizer"]
    trained = [Precision.parse(bits).label for bits in quantizer["bit_widths"]]
    trained += quantizer.get("assignment", ())
    if trained != [point]:
        return f"was trained at {', '.join(trained)}, not at {point}, with which it is compared"
    if data["name"] != job.data.name:
        return f"was trained on '{data['name']}', this job is trained on '{job.data.name}'"
    if metric != own_metric:
        return f"is judged by {metric}, this job by {own_metric}"
    return ""
