"""Where to look at a run: dashboard, MLflow, folder; and its final table."""

from typing import Any

from orchestrator.cluster.state import State
from orchestrator.cluster.view import RunView


def links(view: RunView) -> list[tuple[str, str]]:
    """Return (what, where) of everything that shows a run."""
    started = view.facts.get("started") or {}
    found = [("run folder", view.record.run_dir)]
    if started:
        found.insert(0, ("MLflow", started["mlflow_link"]))
        if started["mlflow_command"]:
            found.insert(0, ("MLflow server", started["mlflow_command"]))
    if view.state in (State.PENDING, State.RUNNING) or not view.record.local:
        found.insert(0, ("Ray dashboard", job_page(view.record.address, view)))
    return found


def job_page(address: str, view: RunView) -> str:
    """Return the job's page of the Ray dashboard."""
    return f"{address}/#/jobs/{view.record.last.submission_id}"


def link_lines(view: RunView) -> list[str]:
    """Return the links, one a line, aligned."""
    return [f"{what + ':':<15}{where}" for what, where in links(view)]


def conclusion(view: RunView) -> list[str]:
    """Return how a run ended: its table, or why there is none."""
    result = view.facts.get("result")
    if view.state is State.SUCCEEDED and result:
        return [str(result["table"])]
    if view.state is State.SUCCEEDED:
        return []
    failure = view.facts.get("failure") or {}
    stopped = view.facts.get("stopped") or {}
    resume = f"`orch resume {view.record.run}` goes on from its last checkpoint."
    reason = {
        State.FAILED: failure.get("message") or view.message,
        State.STOPPED: stopped.get("message") or resume,
        State.LOST: f"{view.note}. {resume}",
    }.get(view.state)
    return [f"{view.state}: {reason}" if reason else str(view.state)]


def as_dict(view: RunView) -> dict[str, Any]:
    """Return all that is known of a run as plain values with stable keys."""
    record = view.record
    started = view.facts.get("started") or {}
    return {
        "run": record.run,
        "name": record.name,
        "state": view.state.value,
        "note": view.note,
        "exit_code": view.exit_code,
        "address": record.address,
        "local": record.local,
        "dashboard": job_page(record.address, view),
        "run_dir": record.run_dir,
        "job_file": record.job_file,
        "attempts": [
            {"submission_id": attempt.submission_id, "submitted_at": attempt.submitted_at}
            for attempt in record.attempts
        ],
        "mlflow": {
            key.removeprefix("mlflow_"): value
            for key, value in started.items()
            if key.startswith("mlflow_")
        },
        "progress": view.facts.get("progress"),
        "evaluated": view.facts.get("evaluated"),
        "result": view.facts.get("result"),
        "failure": view.facts.get("failure"),
    }
