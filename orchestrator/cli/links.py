"""Where to see a run: dashboard, MLflow, folder; and its final table."""

from orchestrator.cluster import local
from orchestrator.cluster.client import JobInfo
from orchestrator.errors import UsageError
from orchestrator.runs.view import RunView
from orchestrator.state import State, is_final
from orchestrator.store.run_folder import RunFolder
from orchestrator.track.journal import Journal
from orchestrator.track.run import remembered_status
from orchestrator.typed_json import plain

SIGKILL_OF_A_SHELL = 137


def links(view: RunView) -> list[tuple[str, str]]:
    """Return (what, where) for each place that shows a run."""
    found = [("run folder", view.record.run_dir), *_not_recorded(view)]
    if view.facts.started:
        record = view.facts.started.mlflow
        server = [("MLflow server", record.command)] if record.command else []
        found = [*server, ("MLflow", record.link), ("MLflow charts", record.charts), *found]
    if view.state in (State.PENDING, State.RUNNING) or not view.record.local:
        found = [("Ray dashboard", job_page(view.record.address, view)), *_token(view), *found]
    return found


def _not_recorded(view: RunView) -> list[tuple[str, str]]:
    """Return what MLflow lacks of a run that has ended."""
    if not is_final(view.state):
        return []
    folder = view.record.folder
    lacking = [f"{count} metrics wait to be sent"] if (count := waiting(folder)) else []
    if remembered_status(folder) == "RUNNING":
        lacking.append("it does not know that the run has ended")
    if not lacking:
        return []
    return [("MLflow lacks", f"{' and '.join(lacking)}; `orch sync {view.record.run}` does it")]


def waiting(folder: RunFolder) -> int:
    """Return how many metrics of a run wait in its folder to be sent to MLflow."""
    return Journal(folder).waiting()


def _token(view: RunView) -> list[tuple[str, str]]:
    """Return the file with the token that a local head's pages ask for, never the token itself."""
    file = local.token_file() if view.record.local else None
    return [("  its token", f"in {file}")] if file else []


def job_page(address: str, view: RunView) -> str:
    """Return the job's page of the Ray dashboard."""
    return f"{address}/#/jobs/{view.record.last.submission_id}"


def link_lines(view: RunView) -> list[str]:
    """Return the links, one per line, aligned."""
    return [f"{what + ':':<15}{where}" for what, where in links(view)]


def conclusion(view: RunView) -> list[str]:
    """Return how a run ended: its table, or why there is none."""
    if view.state is State.SUCCEEDED:
        return [view.facts.finished.table] if view.facts.finished else []
    resume = f"`orch resume {view.record.run}` goes on from its last checkpoint, if it has one."
    if view.state is State.STOPPED:
        stopped = view.facts.stopped
        return [f"{view.state}: {stopped.message if stopped else resume}"]
    reason = _why_failed(view) if view.state is State.FAILED else f"{view.note}."
    worth_it = view.exit_code != UsageError.exit_code
    return [f"{view.state}: {reason}", *([resume] if worth_it else [])]


def was_killed(ended: RunView | JobInfo | None) -> bool:
    """Return whether a job's driver was killed by a signal: from outside, or for lack of memory."""
    code = ended.exit_code if ended else None
    return code is not None and (code < 0 or code == SIGKILL_OF_A_SHELL)


def _why_failed(view: RunView) -> str:
    if view.facts.failed:
        return view.facts.failed.message
    if was_killed(view):
        return "the job's driver was killed, from outside or because memory ran out."
    return view.message.partition("\n")[0]


def as_dict(view: RunView) -> dict[str, object]:
    """Return all that is known of a run as plain values with stable keys."""
    record, facts = view.record, view.facts
    recorded = plain(facts.started.mlflow) if facts.started else {}
    return {
        "run": record.run,
        "name": record.name,
        "state": view.state.value,
        "note": view.note,
        "delay": view.delay,
        "restarts": facts.restarted.count if facts.restarted else 0,
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
        "mlflow": recorded | {"metrics_waiting": waiting(record.folder)},
        "progress": plain(facts.progress),
        "evaluated": plain(facts.evaluated),
        "result": plain(facts.finished),
        "failure": plain(facts.failed),
    }
