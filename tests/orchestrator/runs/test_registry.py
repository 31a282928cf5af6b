"""Runs are found again by every name a person would use."""

from collections.abc import Callable
from threading import Thread

import pytest

from orchestrator.errors import UnknownJob
from orchestrator.run_facts import RunFacts
from orchestrator.runs import registry
from orchestrator.runs.registry import Outcome, Record
from orchestrator.state import State
from tests.orchestrator.statements import FINISHED, PROGRESS

Make = Callable[..., Record]


@pytest.fixture
def saved(make_record: Make) -> None:
    for run, submitted in (("digits-1", 1.0), ("digits-2", 2.0), ("digital-1", 3.0)):
        registry.save(make_record(run, submitted))


@pytest.mark.usefixtures("saved")
@pytest.mark.parametrize(
    ("name", "run"),
    [
        ("digits-1", "digits-1"),
        ("digits", "digits-2"),
        ("digit" + "s-2", "digits-2"),
        ("digita", "digital-1"),
        ("last", "digital-1"),
    ],
)
def test_a_run_is_found_by_id_name_beginning_and_last(name: str, run: str) -> None:
    assert registry.find(name).run == run


@pytest.mark.usefixtures("saved")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digi", "could be any of: digital-1, digits-2, digits-1"),
        ("digits-", "could be any of: digits-2, digits-1"),
        ("digitz", "Did you mean digits"),
        ("zebra", "The latest are: digital-1, digits-2, digits-1"),
    ],
)
def test_an_unclear_name_is_answered_with_what_comes_near(name: str, message: str) -> None:
    with pytest.raises(UnknownJob, match=message):
        registry.find(name)


@pytest.mark.parametrize("name", ["last", "digits"])
def test_without_runs_the_message_says_how_to_make_one(name: str) -> None:
    with pytest.raises(UnknownJob, match="orch submit FILE"):
        registry.find(name)


def test_a_record_survives_being_written(make_record: Make) -> None:
    record = make_record("digits-1", 1.0, 2.0)
    registry.save(record)
    assert registry.load_all() == [record]


def test_attempts_have_ids_of_their_own_that_lead_back_to_the_run(make_record: Make) -> None:
    record = make_record("digits-1", 1.0, 2.0, 3.0)
    ids = [attempt.submission_id for attempt in record.attempts]
    assert ids == ["digits-1", "digits-1.a2", "digits-1.a3"]
    assert {registry.run_of(submission) for submission in ids} == {"digits-1"}
    assert registry.run_of("v1.a") == "v1.a"


def test_an_outcome_belongs_to_the_latest_attempt(make_record: Make) -> None:
    record = make_record("digits-1", 1.0, 2.0)
    outcome = Outcome(State.FAILED, 1, "", RunFacts(progress=PROGRESS, finished=FINISHED), 9.0)
    registry.note_outcome(record, outcome)
    kept = registry.find("digits-1")
    assert [attempt.outcome for attempt in kept.attempts] == [None, outcome]
    registry.change(kept.run, lambda _: None)
    assert registry.load_all() == []


def test_the_end_of_an_attempt_does_not_undo_a_later_one(make_record: Make) -> None:
    first = make_record("digits-1", 1.0)
    registry.save(first.again(2.0))
    registry.note_outcome(first, Outcome(State.STOPPED, 1, "", RunFacts()))
    assert [attempt.outcome for attempt in registry.find("digits-1").attempts] == [None, None]


def test_an_attempt_that_begins_while_an_end_is_recorded_is_not_lost(
    make_record: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_record("digits-1", 1.0)
    registry.save(first)
    read = registry.kept
    resume = Thread(target=registry.change, args=("digits-1", lambda now: now.again(2.0)))

    def read_and_overtaken(run: str) -> Record | None:
        found = read(run)
        monkeypatch.setattr(registry, "kept", read)
        resume.start()
        resume.join(0.2)
        return found

    monkeypatch.setattr(registry, "kept", read_and_overtaken)
    outcome = Outcome(State.STOPPED, 1, "", RunFacts())
    registry.note_outcome(first, outcome)
    resume.join()
    assert [attempt.outcome for attempt in registry.find("digits-1").attempts] == [outcome, None]
