"""What people see of a search while the disk is full or a folder is not there."""

import errno
import time
from collections.abc import Callable, Iterator

import pytest

from orchestrator.events import Event, TrialEnded
from orchestrator.job.schema import Job
from orchestrator.run_facts import facts_of
from orchestrator.search.journal import SearchJournal
from orchestrator.search.records import Attempt, Ended, Opened, Planned, TrialState
from orchestrator.store.search_folder import SearchFolder
from orchestrator.track.sender import Sender
from orchestrator.trials import desk as module
from orchestrator.trials.desk import Desk

FULL = OSError(errno.ENOSPC, "No space left on device")
WARNING = "Progress and records of the search are not up to date: [Errno 28] No space left"
SECONDS = 10.0


@pytest.fixture
def journal(search: SearchFolder) -> SearchJournal:
    journal = SearchJournal(search)
    journal.append(Opened(0.0, "tiny", "mean", "max", (), (), 2, 1, "none", "grid", 2, 1))
    journal.append(Attempt(0.0, 1))
    return journal


@pytest.fixture
def desk(
    search: SearchFolder,
    search_job: Callable[..., Job],
    journal: SearchJournal,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Desk]:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    sender = Sender()
    desk = Desk(search, search_job(), sender)
    yield desk
    desk.finish()
    sender.finish()


def end(journal: SearchJournal, trial: str) -> None:
    """Let a trial be planned and end."""
    journal.append(Planned(1.0, trial, {"optimizer.lr": 0.1}, "grid"))
    journal.append(Ended(2.0, trial, TrialState.FINISHED, 50.0, None, {}, None, 2, 6, ""))


def wait_until(ready: Callable[[], bool]) -> None:
    until = time.monotonic() + SECONDS
    while not ready():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_an_error_is_said_once_and_what_was_missed_is_told_when_it_is_over(
    desk: Desk,
    journal: SearchJournal,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[str] = []
    told: list[Event] = []

    def full(event: Event) -> Event:
        asked.append(event.row.trial if isinstance(event, TrialEnded) else "")
        raise FULL

    monkeypatch.setattr(module, "say", full)
    end(journal, "t001")
    end(journal, "t002")
    wait_until(lambda: len(asked) > 2)
    monkeypatch.setattr(module, "say", told.append)
    wait_until(lambda: len(told) == 2)
    assert [event.row.trial for event in told if isinstance(event, TrialEnded)] == ["t001", "t002"]
    assert capsys.readouterr().out.count(WARNING) == 1


def test_an_error_that_stays_is_said_again_at_the_end_and_the_tables_are_written(
    desk: Desk,
    search: SearchFolder,
    journal: SearchJournal,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    end(journal, "t001")
    wait_until(lambda: "t001" in desk._standing.trials)
    read: list[object] = []

    def fail(*_: object) -> None:
        read.append(None)
        raise FULL

    monkeypatch.setattr(SearchJournal, "read", fail)
    wait_until(lambda: len(read) > 2)
    desk.finish()
    assert capsys.readouterr().out.count(WARNING) == 2
    assert "t001" in search.table.read()


def test_the_last_word_is_that_all_trials_have_ended(
    desk: Desk, search: SearchFolder, journal: SearchJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the last trial ends a moment after the latest word."""
    journal.append(Planned(1.0, "t001", {"optimizer.lr": 0.1}, "grid"))
    wait_until(lambda: facts_of(search.run).searching is not None)
    monkeypatch.setattr(module, "LOOK_SECONDS", 60.0)
    journal.append(Ended(2.0, "t001", TrialState.FINISHED, 50.0, None, {}, None, 2, 6, ""))
    desk.finish()
    searching = facts_of(search.run).searching
    assert searching is not None
    assert (searching.living, searching.ended) == ((), {"finished": 1})
