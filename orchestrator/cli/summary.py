"""A run in a few lines, or as JSON: how it ended, and why."""

from dataclasses import fields

from orchestrator.cli import search_view
from orchestrator.cli.links import job_page, waiting
from orchestrator.cluster.client import JobInfo
from orchestrator.errors import UsageError
from orchestrator.events import Event, Restarted
from orchestrator.run_facts import RunFacts
from orchestrator.runs.view import RunView
from orchestrator.state import State
from orchestrator.track.run import RecordPlaces
from orchestrator.typed_json import plain

SIGKILL_OF_A_SHELL = 137
_MARKS = ("n", "trial")


def ways_on(run: str) -> str:
    """Return the commands for a run that has not ended."""
    return f"`orch logs -f {run}` follows it, `orch stop {run}` ends it."


def conclusion(view: RunView) -> list[str]:
    """Return how a run ended: its table, or why there is none."""
    if view.trial:
        return search_view.end_of_trial(view, view.trial)
    if view.state is State.SUCCEEDED and view.facts.searched:
        return search_view.answer_of(view.facts.searched)
    if view.state is State.SUCCEEDED:
        return [view.facts.finished.table] if view.facts.finished else []
    return [*_how_far(view), *_why_ended(view)]


def _how_far(view: RunView) -> list[str]:
    """Return how far a search came; nothing for other runs."""
    return list(search_view.standing(view, view.facts.searching)) if view.facts.searching else []


def _why_ended(view: RunView) -> list[str]:
    resume = f"`orch resume {view.record.run}` continues from its last checkpoint, if it has one."
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
    """Return all that is known of a run as plain values, with the keys of docs/status.md."""
    record, facts = view.record, view.facts
    places = facts.record
    recorded = {each.name: getattr(places, each.name, None) for each in fields(RecordPlaces)}
    return {
        "run": record.run,
        "name": record.name,
        "state": view.state.value,
        "note": view.note,
        "delay": view.delay,
        "share_done": _share_done(facts),
        "restarts": [_plain_restart(each) for each in facts.restarts],
        "workers": plain(view.workers),
        "exit_code": view.exit_code,
        "ended_at": view.ended,
        "address": record.address,
        "cluster": record.cluster,
        "local": record.local,
        "dashboard": job_page(record.address, view),
        "run_dir": record.run_dir,
        "job_file": record.job_file,
        "attempts": [
            {"submission_id": attempt.submission_id, "submitted_at": attempt.submitted_at}
            for attempt in record.attempts
        ],
        "mlflow": recorded | {"metrics_waiting": waiting(view)},
        "arithmetic": _fact(facts.arithmetic),
        "progress": _fact(facts.progress),
        "evaluated": _fact(facts.evaluated),
        "result": _fact(facts.finished),
        "failure": _fact(facts.failed) or _unsaid_failure(view),
        "search": _fact(facts.searching),
        "searched": _fact(facts.searched),
        "trial": plain(view.trial),
    }


def _fact(event: Event | None) -> dict[str, object] | None:
    """Return an event without what only tells it apart from others."""
    if event is None:
        return None
    return {key: value for key, value in plain(event).items() if key not in _MARKS}


def _unsaid_failure(view: RunView) -> dict[str, object] | None:
    """Return why a run failed whose driver could not say it; None of any other one."""
    if view.state is not State.FAILED or not (why := _why_failed(view)):
        return None
    return {"time": view.ended, "message": why, "exit_code": view.exit_code}


def _plain_restart(restart: Restarted) -> dict[str, object]:
    return {"time": restart.time, "reason": restart.reason}


def _share_done(facts: RunFacts) -> float | None:
    """Return how much of a run or a search is done, from 0 to 1, as far as it has said so."""
    if facts.finished or facts.searched:
        return 1.0
    if facts.searching and facts.searching.epochs_planned:
        return facts.searching.epochs_done / facts.searching.epochs_planned
    return facts.progress.share_done if facts.progress else None
