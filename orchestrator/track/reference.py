"""The reference of Delta_B: a published row, or individual runs in MLflow."""

from collections.abc import Mapping
from typing import Any

from orchestrator.data import metric_of
from orchestrator.errors import UsageError
from orchestrator.job.schema import Job
from orchestrator.job.uri import masked
from orchestrator.track import keys
from orchestrator.track.delta_b import ReferenceResults, published_reference
from orchestrator.track.server import mlflow_client


def find(job: Job, uri: str) -> ReferenceResults | None:
    """Return the reference of Delta_B. Raises UsageError for an unknown one."""
    if job.reference is None:
        return None
    if job.reference.published is not None:
        return published_reference(job.reference.published)
    assert job.reference.runs is not None
    metric = metric_of(job.data)
    return own_runs(uri, metric, job.reference.runs)


def own_runs(uri: str, metric: str, runs: Mapping[str, str]) -> ReferenceResults:
    """Return the results of individually trained runs, by point, from their last epochs.

    Raises UsageError with all runs that are unknown, unfinished or of another kind, Unreachable
    without a server.
    """
    values: dict[str, float] = {}
    problems: list[str] = []
    with mlflow_client(uri) as client:
        for point, run_id in runs.items():
            run = _known_run(client, run_id)
            problem = _unfit(run, point, metric) if run else "is unknown"
            if problem:
                problems.append(
                    f"reference.runs.{point}: the run {run_id} at {masked(uri)} {problem}."
                )
            else:
                values[point] = run.data.metrics[keys.metric(metric, point)]
    if problems:
        raise UsageError("\n".join(problems))
    named = ", ".join(f"{point}: {run_id}" for point, run_id in runs.items())
    return ReferenceResults(f"own individual runs ({named})", metric, values)


def _unfit(run: Any, point: str, metric: str) -> str:
    """Return why a run cannot be the reference of an operating point.

    A run that was not recorded by orch names neither method nor points, and is accepted.
    """
    name, params, metrics = keys.metric(metric, point), run.data.params, run.data.metrics
    if run.info.lifecycle_stage != "active":
        return "was deleted; restore it, or name another"
    if params.get("method", "individual") != "individual":
        return f"was trained by the method '{params['method']}', not 'individual'"
    if params.get("points", point) != point:
        return f"was trained at {params['points']}, not at {point}"
    if run.info.status != "FINISHED":
        return f"is {run.info.status}; a reference is a run that has finished"
    other = next((key for key in keys.METRICS if keys.metric(key, point) in metrics), None)
    if name not in metrics and other:
        return f"is judged by {other}, this job by {metric}"
    return "" if name in metrics else f"has no metric {name}"


def _known_run(client: Any, run_id: str) -> Any:
    """Return a run, or None when the server does not know it."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
