"""What is asked of a search that ran on groups of threads, and how its driver is killed."""

from typing import Any

import pytest

from orchestrator.search import figures
from orchestrator.search.journal import SearchJournal
from orchestrator.search.records import Reported, TrialState
from orchestrator.search.standing import Standing
from orchestrator.store.run_folder import RunFolder
from orchestrator.store.search_folder import SearchFolder
from orchestrator.track.run import remembered_run
from orchestrator.track.server import mlflow_client

DRAW = figures.draw
TWO = "quantizer.bit_widths=[8, 2]"


def standing_of(search: SearchFolder) -> Standing:
    return Standing.of(SearchJournal(search).read().records)


def ended_in(search: SearchFolder) -> dict[str, TrialState]:
    return {trial.name: trial.state for trial in standing_of(search).ended}


def record_of(run: RunFolder) -> Any:
    tracked = remembered_run(run)
    assert tracked is not None
    with mlflow_client(tracked.uri) as client:
        return client.get_run(tracked.run_id)


class Killed(BaseException):
    """The driver is gone."""


def kill_after(epochs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next driver end without a word once so many epochs are in its journal."""
    append, seen = SearchJournal.append, []

    def dying(journal: SearchJournal, record: Any) -> None:
        append(journal, record)
        seen.append(isinstance(record, Reported))
        if sum(seen) == epochs:
            monkeypatch.setattr(SearchJournal, "append", append)
            raise Killed

    monkeypatch.setattr(SearchJournal, "append", dying)
