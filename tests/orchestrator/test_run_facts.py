"""The last events of a run, kept in its folder and found there by others."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.event_parts import WorkerPlace
from orchestrator.events import (
    Event,
    Failed,
    Gathered,
    Log,
    Recorded,
    Restarted,
    Stopped,
    of_trial,
    parse,
)
from orchestrator.run_facts import (
    MOST_RESTARTS,
    Events,
    RunFacts,
    facts_in,
    facts_of,
    finished_in,
    go_on,
    write_end,
)
from orchestrator.state import State
from orchestrator.store.run_folder import RunFolder
from orchestrator.track.result import PointResult, Result
from orchestrator.typed_json import plain
from tests.orchestrator.statements import (
    ARITHMETIC,
    EVALUATED,
    FINISHED,
    PROGRESS,
    RECORD,
    SEARCHED,
    SEARCHING,
    STARTED,
    TRIAL_ENDED,
)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def test_an_event_is_one_line_and_its_facts_stay_in_the_file(
    folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    events = Events(folder)
    events.say(PROGRESS)
    events.say(FINISHED)
    said = [parse(line) for line in capsys.readouterr().out.splitlines()]
    kept = facts_of(folder)
    assert [kept.progress, kept.finished] == said
    assert kept.state is State.SUCCEEDED
    assert kept.last_time == pytest.approx(time.time(), abs=60)
    values = json.loads(folder.facts.read())
    assert (values["state"], values["progress"]["step"]) == ("RUNNING", 3)


def test_nothing_is_lost_of_what_processes_say_at_the_same_moment(folder: RunFolder) -> None:
    """Workers, the driver, the sender of the record and whoever counts losses, each many times."""
    events = Events(folder)
    events.keep(STARTED)
    said: list[list[Event]] = [
        [replace(PROGRESS, step=n) for n in range(50)],
        [replace(SEARCHING, trials=n) for n in range(50)],
        [Recorded(mlflow=replace(RECORD, run_id=str(n))) for n in range(50)],
        [Restarted(count=n, reason="Killed.") for n in range(50)],
    ]
    children = []
    for each in said:
        if not (child := os.fork()):
            for event in each:
                events.keep(event)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    kept = facts_of(folder)
    assert [kept.progress, kept.searching, kept.recorded] == [each[-1] for each in said[:3]]
    assert kept.restarts == tuple(said[3])
    assert (kept.started, kept.state) == (STARTED, State.RUNNING)


def test_the_workers_last_words_do_not_follow_the_end_that_the_driver_told(
    folder: RunFolder,
) -> None:
    for event in (STARTED, FINISHED, PROGRESS):
        Events(folder).keep(event)
    assert facts_of(folder).state is State.SUCCEEDED


def test_a_trial_that_was_stopped_and_goes_on_is_running(folder: RunFolder) -> None:
    for event in (STARTED, PROGRESS, Stopped(message="saved")):
        Events(folder).keep(event)
    go_on(folder)
    kept = facts_of(folder)
    assert (kept.state, kept.stopped, kept.progress) == (State.RUNNING, None, PROGRESS)


def test_the_one_file_of_a_run_that_another_version_began_is_understood(folder: RunFolder) -> None:
    lost = Restarted(count=1, reason="Killed.")
    before = RunFacts().after(STARTED, PROGRESS, lost, Failed(message="lost", exit_code=1))
    folder.facts.write(json.dumps(plain(before)))
    assert facts_of(folder) == before
    Events(folder).keep(STARTED)
    assert facts_of(folder) == RunFacts().after(STARTED, PROGRESS)


@pytest.mark.parametrize(
    "next_event", [Restarted(count=1, reason="Rank 0 died."), replace(STARTED, attempt=2)]
)
def test_workers_are_those_of_the_last_group_until_they_are_lost(
    folder: RunFolder, next_event: Event
) -> None:
    group = Gathered(workers=(WorkerPlace(0, "10.0.0.5", 71),))
    events = Events(folder)
    for event in (STARTED, group, PROGRESS):
        events.keep(event)
    assert facts_of(folder).gathered == group
    assert RunFacts().after(STARTED, group, PROGRESS).gathered == group
    events.keep(next_event)
    assert facts_of(folder).gathered is None
    assert RunFacts().after(STARTED, group, next_event).gathered is None


def test_the_last_of_each_kind_counts() -> None:
    later = Log(message="hello")
    facts = RunFacts().after(STARTED, PROGRESS, EVALUATED, later, FINISHED)
    assert (facts.started, facts.progress, facts.evaluated) == (STARTED, PROGRESS, EVALUATED)
    assert (facts.state, facts.finished) == (State.SUCCEEDED, FINISHED)


def test_a_run_that_goes_on_after_its_end_has_no_end_any_more(folder: RunFolder) -> None:
    again = replace(STARTED, attempt=2)
    assert RunFacts().after(STARTED, FINISHED, again) == RunFacts().after(again)
    for event in (STARTED, SEARCHING, SEARCHED, again):
        Events(folder).keep(event)
    assert facts_of(folder) == RunFacts().after(again, SEARCHING)


def test_a_search_knows_how_far_it_is_and_nothing_of_what_its_trials_say_of_themselves() -> None:
    trial = replace(FINISHED, trial="t007"), replace(PROGRESS, trial="t008")
    facts = RunFacts().after(STARTED, SEARCHING, *trial, TRIAL_ENDED)
    assert facts == RunFacts(state=State.RUNNING, started=STARTED, searching=SEARCHING)
    ended = facts.after(SEARCHED)
    assert (ended.state, ended.searched) == (State.SUCCEEDED, SEARCHED)
    assert facts_in(plain(ended)) == ended


def test_in_its_own_folder_a_trial_is_a_run(
    folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    with of_trial("t007"):
        Events(folder).say(PROGRESS)
    said = parse(capsys.readouterr().out)
    assert said is not None
    assert said.trial == "t007"
    assert facts_of(folder).progress == replace(said, trial=None)


def test_a_run_that_goes_on_after_its_end_is_running_again(folder: RunFolder) -> None:
    for end in (Failed(message="lost", exit_code=1), Stopped(message="saved")):
        Events(folder).say(end)
        assert facts_of(folder).state is end.state
        Events(folder).say(STARTED)
        assert facts_of(folder).state is State.RUNNING
        assert (facts_of(folder).failed, facts_of(folder).stopped) == (None, None)


def test_all_restarts_of_an_attempt_are_kept_with_their_causes(folder: RunFolder) -> None:
    for reason in ("Killed.", "The node of rank 1 is lost."):
        Events(folder).say(Restarted(count=1, reason=reason))
        Events(folder).say(PROGRESS)
    kept = facts_of(folder)
    assert [each.reason for each in kept.restarts] == ["Killed.", "The node of rank 1 is lost."]
    assert kept.restarted == kept.restarts[-1]
    assert kept.state is State.RUNNING
    Events(folder).say(STARTED)
    assert facts_of(folder).restarts == ()


def test_of_very_many_restarts_the_last_ones_are_kept() -> None:
    many = (Restarted(count=n, reason="Killed.") for n in range(1, MOST_RESTARTS + 3))
    kept = RunFacts().after(*many).restarts
    assert [each.count for each in kept] == list(range(3, MOST_RESTARTS + 3))


def test_how_a_run_computes_is_kept_when_it_goes_on(folder: RunFolder) -> None:
    for event in (STARTED, ARITHMETIC, PROGRESS, STARTED):
        Events(folder).say(event)
    kept = facts_of(folder).arithmetic
    assert kept is not None
    assert replace(kept, time=None) == ARITHMETIC


@pytest.mark.parametrize(
    "content", [b"", b'{"state": "RUN', b"[1]", bytes(range(256)), b"[" * 100_000]
)
def test_damaged_facts_do_not_end_a_run(folder: RunFolder, content: bytes) -> None:
    Path(str(folder.facts)).write_bytes(content)
    assert facts_of(folder) == RunFacts()
    Events(folder).say(PROGRESS)
    kept = facts_of(folder)
    assert kept.state is State.RUNNING
    assert kept.progress is not None


def test_what_cannot_be_understood_is_left_out_and_the_rest_stays() -> None:
    whole = plain(RunFacts().after(STARTED, PROGRESS))
    odd: dict[str, Any] = {"state": "PAUSED", "progress": {"epoch": 1}, "queue": "night"}
    facts = facts_in(whole | odd)
    assert facts == RunFacts(started=STARTED)
    assert facts_in(None) == facts_in(["state"]) == RunFacts()


def test_newer_facts_cover_older_ones_and_leave_what_they_do_not_know() -> None:
    older = RunFacts().after(STARTED, PROGRESS)
    newer = RunFacts().after(Failed(message="lost", exit_code=1))
    both = newer.over(older)
    assert (both.started, both.progress, both.failed) == (STARTED, PROGRESS, newer.failed)
    assert both.state is State.FAILED
    lost = Restarted(count=1, reason="Killed.")
    assert newer.over(older.after(lost)).restarts == (lost,)


def test_a_folder_that_takes_nothing_more_is_said_once_and_the_log_has_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = Events(RunFolder(tmp_path / "gone"))
    events.say(PROGRESS)
    events.say(PROGRESS)
    events.say(Failed(message="full", exit_code=1))
    said = [type(parse(line)).__name__ for line in capsys.readouterr().out.splitlines()]
    assert said == ["Progress", "Log", "Progress", "Failed"]


def test_the_end_that_the_workers_wrote_is_read_as_the_event_that_says_it(
    folder: RunFolder,
) -> None:
    rows = (PointResult("8bit", 91.0, 0.1), PointResult("7bit", 80.0, 0.2, calibrated="zero-shot"))
    result = Result("top1", 1, 18, rows, note="No Delta_B.")
    write_end(folder, result)
    end = finished_in(folder)
    assert (end.metric_name, end.epoch, end.step, end.rows) == ("top1", 1, 18, rows)
    assert (end.table, end.run_dir) == (result.markdown(), str(folder))


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"rows": []}', b"\xff\xfe"])
def test_a_damaged_end_is_a_value_error(folder: RunFolder, content: bytes) -> None:
    Path(str(folder.result)).write_bytes(content)
    with pytest.raises(ValueError):  # noqa: PT011 - the kind is what callers rely on
        finished_in(folder)


def test_a_driver_that_follows_a_killed_one_keeps_what_was_restarted() -> None:
    lost = Restarted(count=1, reason="The driver was killed.")
    for attempt, kept in ((1, True), (2, False), (None, False)):
        facts = RunFacts().after(
            replace(STARTED, attempt=1), lost, replace(STARTED, attempt=attempt)
        )
        assert (facts.restarted is not None) is kept
