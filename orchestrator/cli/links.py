"""Where to see a run: dashboard, MLflow, folder."""

import contextlib

from orchestrator.cluster import local
from orchestrator.job.paths import in_bucket
from orchestrator.runs.view import RunView
from orchestrator.state import State, is_final
from orchestrator.track.journal import Journal
from orchestrator.track.run import remembered_status


def links(view: RunView) -> list[tuple[str, str]]:
    """Return (what, where) for each place that shows a run."""
    found = [("run folder", view.record.run_dir), *_figures(view), *_not_recorded(view)]
    if record := view.facts.record:
        server = [("MLflow server", record.command)] if record.command else []
        found = [*server, ("MLflow", record.link), ("MLflow charts", record.charts), *found]
    if view.state in (State.PENDING, State.RUNNING) or not view.record.local:
        found = [("Ray dashboard", job_page(view.record.address, view)), *_token(view), *found]
    return found


def _figures(view: RunView) -> list[tuple[str, str]]:
    """Return the folder of a search's figures, once they are drawn, where that is seen at once."""
    if not view.record.is_search or in_bucket(view.record.run_dir):
        return []
    folder = view.record.search_folder.figures
    return [("figures", str(folder))] if folder.is_there() else []


def _not_recorded(view: RunView) -> list[tuple[str, str]]:
    """Return what MLflow lacks of a run that has ended."""
    if not is_final(view.state):
        return []
    lacking = [f"{count} metrics wait to be sent"] if (count := waiting(view)) else []
    with contextlib.suppress(OSError):
        if remembered_status(view.record.folder) == "RUNNING":
            lacking.append("it does not know that the run has ended")
    if not lacking:
        return []
    return [("MLflow lacks", f"{' and '.join(lacking)}; `orch sync {view.record.run}` does it")]


def waiting(view: RunView) -> int | None:
    """Return how many metrics MLflow lacks; None where that is not seen, or not quickly.

    That is so for a run that goes on and whose folder is in a bucket.
    """
    if in_bucket(view.record.run_dir) and not is_final(view.state):
        return None
    try:
        return Journal(view.record.folder).waiting()
    except OSError:
        return None


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
