"""Record in MLflow the end of a run whose driver was killed before it could."""

from collections.abc import Iterator

from orchestrator.errors import OrchError
from orchestrator.run_facts import RunFacts
from orchestrator.state import State, is_final
from orchestrator.store.run_folder import RunFolder
from orchestrator.store.search_folder import SearchFolder

STATUSES = {
    State.SUCCEEDED: "FINISHED",
    State.STOPPED: "KILLED",
    State.FAILED: "FAILED",
    State.LOST: "FAILED",
}
"""MLflow's names of the final states."""

_silent: set[str] = set()
"""Servers that did not answer: a command asks each of them only once."""


def notice(state: State, folder: RunFolder, facts: RunFacts, *, first_time: bool) -> None:
    """Correct the record of a run if it still says RUNNING, and those of a search's trials with it.

    Never fails, and is quick: the status is all that it corrects, `orch sync` does the rest.

    MLflow is not even imported when the run's folder says that the record is complete. first_time:
    the end was not seen before; a run whose folder is on another machine is corrected only then.
    """
    if not is_final(state):
        return
    from orchestrator.track.run import remembered_run, remembered_status

    try:
        known, status = remembered_run(folder), remembered_status(folder)
    except OSError:
        return
    if known:
        if status == "RUNNING" and known.uri not in _silent:
            _close(known.uri, folder, STATUSES[state])
        return
    record = facts.record
    if record is None or not first_time or (facts.state and is_final(facts.state)):
        return
    if record.uri not in _silent and record.uri.startswith(("http://", "https://")):
        _close_elsewhere(record.uri, record.run_id, STATUSES[state])


def _close(uri: str, folder: RunFolder, status: str) -> None:
    from orchestrator.track.recorder import close_abandoned

    try:
        for run, its_status in _open_trials(SearchFolder(folder)):
            close_abandoned(run, its_status)
        close_abandoned(folder, status)
    except (OrchError, OSError):
        _silent.add(uri)


def _open_trials(search: SearchFolder) -> Iterator[tuple[RunFolder, str]]:
    """Yield the runs of a search whose records say RUNNING, and the status by the journal."""
    from orchestrator.search.endings import status_of
    from orchestrator.search.journal import SearchJournal
    from orchestrator.search.standing import Standing
    from orchestrator.track.run import remembered_status

    trials = [run for run in search.runs() if remembered_status(run) == "RUNNING"]
    standing = Standing.of(SearchJournal(search).read().records)
    for run in trials:
        yield run, status_of(search.called(run), standing)


def _close_elsewhere(uri: str, run_id: str, status: str) -> None:
    from orchestrator.track.recorder import close_unless_closed

    try:
        close_unless_closed(uri, run_id, status)
    except OrchError:
        _silent.add(uri)
