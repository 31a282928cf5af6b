"""Trials of a search are runs: found by name, with a state, facts and a job of their own."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import UnknownJob, UsageError
from orchestrator.events import Failed
from orchestrator.job.schema import Job
from orchestrator.job.source import dump
from orchestrator.run_facts import Events, RunFacts
from orchestrator.runs import registry, trials, view
from orchestrator.runs.registry import Record
from orchestrator.search.records import Began, Planned, Reported
from orchestrator.search.standing import Standing
from orchestrator.state import State
from orchestrator.store.run_folder import RunFolder
from orchestrator.strict_json import dumps
from orchestrator.typed_json import plain
from tests.fake_cluster import FakeCluster
from tests.orchestrator import journals
from tests.orchestrator.statements import (
    BEST,
    EVALUATED,
    FINISHED,
    LIVING,
    PROGRESS,
    SEARCHING,
    TRIAL_ENDED,
    log_of,
)

Make = Callable[..., Record]


@pytest.fixture
def search(make_record: Make, cluster: FakeCluster) -> Record:
    """A running search on the fake cluster, which is recorded here."""
    job = {"name": "digits", "search": journals.SEARCH}
    record = make_record("digits-1", address=cluster.url, job=job)
    cluster.add("digits-1")
    registry.save(record)
    return record


def test_a_trial_is_found_by_its_search_and_its_number(search: Record) -> None:
    for name in ("digits-1.t007", "digits.t007", "digi.t007", "last.t007"):
        record = registry.find(name)
        assert (record.run, record.within, record.search) == ("digits-1.t007", "t007", "digits-1")
        assert record.run_dir == f"{search.run_dir}/trials/digits-1.t007"
    assert registry.find("digits.t007s2").within == "t007s2"
    assert not registry.find("digits.t007s2").is_search
    assert search.is_search
    assert search.within == ""


def test_only_searches_have_trials(make_record: Make) -> None:
    registry.save(make_record("plain-1"))
    with pytest.raises(UnknownJob, match="plain-1 is no search; it has no trial t007"):
        registry.find("plain.t007")
    with pytest.raises(UnknownJob, match="No job is called 'other'"):
        registry.find("other.t007")


def test_a_trial_that_was_resumed_by_itself_has_its_own_record_under_the_same_name(
    search: Record,
) -> None:
    own = replace(registry.find("digits.t007"), job={"seed": 1}).again(9.0)
    registry.save(own)
    assert own.last.submission_id == "digits-1.t007.a2"
    assert registry.find("digits.t007") == registry.find("last") == own
    assert own.within == ""
    assert registry.find("digits") == registry.find("dig") == search


def test_a_trial_is_its_search_s_again_while_that_has_been_resumed_since(search: Record) -> None:
    own = replace(registry.find("digits.t007"), job={"seed": 1}).again(9.0)
    registry.save(own)
    assert registry.trained_alone(search) == [own]
    resumed = search.again(10.0)
    registry.save(resumed)
    found = registry.find("digits.t007")
    assert (found.within, found.search) == ("t007", "digits-1")
    assert found.again(11.0).last.submission_id == "digits-1.t007.a4"
    outcome = registry.Outcome(State.STOPPED, 1, "", RunFacts())
    registry.note_outcome(resumed, outcome)
    assert registry.find("digits.t007") == own


@pytest.mark.parametrize(
    ("trial", "state", "note"),
    [
        ("t001", State.SUCCEEDED, "finished"),
        ("t002", State.STOPPED, "stopped early: 61 < 80, asha"),
        ("t003", State.FAILED, "failed: The loss is not finite."),
        ("t004", State.RUNNING, "running"),
    ],
)
def test_the_journal_tells_the_state_of_a_trial(
    search: Record, trial: str, state: State, note: str
) -> None:
    journals.write(search, journals.half_done())
    seen = view.look(registry.find(f"digits.{trial}"))
    assert (seen.state, seen.note) == (state, note)
    assert seen.trial is not None
    assert seen.trial.trial == trial
    assert registry.load_all() == [search]


def test_a_trial_ends_with_its_search(search: Record, cluster: FakeCluster) -> None:
    journals.write(search, [*journals.half_done(), Planned(70.0, "t005", {}, "near")])
    assert view.look(registry.find("digits.t005")).state is State.PENDING
    cluster.jobs["digits-1"].statuses = ["STOPPED"]
    interrupted = view.look(registry.find("digits.t004"))
    assert (interrupted.state, interrupted.note) == (State.STOPPED, "interrupted with its search")
    assert view.look(registry.find("digits.t001")).state is State.SUCCEEDED


def test_a_trial_that_a_search_does_not_have_is_unknown(search: Record) -> None:
    journals.write(search, journals.half_done())
    with pytest.raises(UnknownJob) as raised:
        view.look(registry.find("digits.t009"))
    assert str(raised.value) == (
        "digits-1 has no trial t009: it has 4 of 4 so far, t001 to t004. "
        "`orch status digits-1` shows them."
    )


def test_a_search_that_has_just_begun_says_that_it_has_no_trials_so_far(search: Record) -> None:
    journals.write(search, [journals.opened()])
    with pytest.raises(UnknownJob, match=r"no trial t001: it has 0 of 4 so far\."):
        view.look(registry.find("digits.t001"))


def test_the_folder_of_a_trial_has_its_facts_and_its_results(search: Record) -> None:
    journals.write(search, journals.half_done())
    folder = registry.find("digits.t001").folder
    folder.make()
    Events(folder).say(PROGRESS)
    folder.result.write(dumps(plain(FINISHED)))
    facts = view.look(registry.find("digits.t001")).facts
    assert facts.progress is not None
    assert facts.finished == FINISHED


def test_the_results_of_several_seeds_are_their_mean(search: Record) -> None:
    lines = [
        journals.opened(seeds=2),
        Planned(0.0, "t001", {}, "near"),
        *(Began(0.0, run, "group 1", 1) for run in ("t001s1", "t001s2")),
        Reported(1.0, "t001s1", 1, 10, {"2bit": 70.0}, None),
        Reported(1.0, "t001s2", 1, 10, {"2bit": 80.0}, None),
    ]
    journals.write(search, lines)
    for seed in (1, 2):
        folder = registry.find(f"digits.t001s{seed}").folder
        folder.make()
        Events(folder).say(replace(EVALUATED, metric={"2bit": 60.0 + 10 * seed}))
    whole = view.look(registry.find("digits.t001")).facts.evaluated
    assert whole is not None
    assert (whole.metric_name, whole.metric, whole.epoch, whole.epochs) == (
        "top1", {"2bit": 75.0}, 0, 3)  # fmt: skip
    one = view.look(registry.find("digits.t001s2")).facts.evaluated
    assert one is not None
    assert one.metric == {"2bit": 80.0}


def test_on_another_machine_the_events_tell_of_a_trial(
    search: Record, cluster: FakeCluster
) -> None:
    other = Failed(message="x", exit_code=1, trial="t003")
    said = [SEARCHING, replace(PROGRESS, trial="t008"), other, TRIAL_ENDED]
    cluster.jobs["digits-1"].logs = [log_of(*said)]
    living = view.look(registry.find("digits.t008"))
    assert (living.state, living.trial, living.facts) == (
        State.RUNNING, LIVING, RunFacts(State.RUNNING, progress=PROGRESS))  # fmt: skip
    ended = view.look(registry.find("digits.t007"))
    assert (ended.state, ended.trial) == (State.SUCCEEDED, BEST)
    with pytest.raises(UnknownJob, match=r"trial t020 of digits-1\. `orch status digits-1` shows"):
        view.look(registry.find("digits.t020"))


def test_the_job_of_a_trial_is_that_of_its_folder(
    search: Record, tiny_job: Callable[..., Job]
) -> None:
    record, job = registry.find("digits.t001"), tiny_job("seed=3").as_dict()
    with pytest.raises(
        UsageError, match=r"t001 is not seen here \(.*No such file or directory\)\.$"
    ):
        trials.job_of(record)
    record.folder.make()
    record.folder.job.write(dump(job))
    assert trials.job_of(record) == job


@pytest.mark.parametrize("kept", [b"", b"name: digits\n", b"a: [", b"- 1", b"\xff\xfe\0", 0.3, 0.6])
def test_a_job_of_a_trial_that_was_cut_is_damaged(
    search: Record, tiny_job: Callable[..., Job], kept: bytes | float
) -> None:
    record, whole = registry.find("digits.t001"), dump(tiny_job().as_dict()).encode()
    whole = whole[: whole.index(b"training:") + len(b"training:")]
    record.folder.make()
    part = kept if isinstance(kept, bytes) else whole[: int(kept * len(whole))]
    Path(str(record.folder.job)).write_bytes(part)
    with pytest.raises(UsageError, match=rf"^{record.folder.job} is damaged: "):
        trials.job_of(record)


@pytest.mark.parametrize(("seeds", "hint"), [(1, ""), (2, " Name .* 2 seeds: digits-1.t001s1.")])
def test_a_trial_that_the_search_does_not_have_is_told_from_one_whose_job_is_not_seen(
    search: Record, seeds: int, hint: str
) -> None:
    journals.write(search, [journals.opened(seeds), Planned(0.0, "t001", {}, "near")])
    with pytest.raises(UnknownJob, match="no trial t009: it has 1 of 4 so far, t001 to t001"):
        trials.job_of(registry.find("digits.t009"))
    with pytest.raises(UsageError, match=rf"t001 is not seen here \(.*\)\.{hint}$"):
        trials.job_of(registry.find("digits.t001"))


@pytest.mark.parametrize("damage", [b"\xff\0\n", b'{"is": "open', None])
def test_a_journal_without_its_first_line_is_said_to_be_damaged(
    search: Record, damage: bytes | None
) -> None:
    journals.write(search, journals.half_done())
    for run in ("t001", "t002"):
        search.search_folder.of_run(run).make()
    Events(search.folder).say(SEARCHING)
    journal = search.search_folder.journal.path
    content = journal.read_bytes().partition(b"\n")[2]
    journal.unlink() if damage is None else journal.write_bytes(damage + content)
    seen = view.look(search)
    assert seen.note == f"{journal} is damaged or gone"
    assert seen.facts.searching is not None
    assert seen.facts.searching.ended == SEARCHING.ended
    with pytest.raises(UnknownJob, match=r"t001: .* is damaged .*`orch resume digits-1` mends it"):
        view.look(registry.find("digits.t001"))


def test_a_search_that_has_only_begun_is_not_damaged(search: Record) -> None:
    search.folder.make()
    assert view.look(search).note == ""


def test_a_search_without_a_journal_here_is_not_opened(search: Record) -> None:
    assert trials.standing_of(search).trials == Standing().trials
    folders = trials.folders_of(search, "t001", seeds=2)
    assert folders[1] == RunFolder(Path(search.run_dir) / "trials" / "digits-1.t001s2")
