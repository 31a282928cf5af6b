"""What is known of a run, from its cluster, its folder and its record."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.cluster.client import ClusterClient
from orchestrator.events import Event, Failed, Stopped, to_line
from orchestrator.run_facts import RunFacts
from orchestrator.runs import registry, view
from orchestrator.runs.registry import Record
from orchestrator.runs.told import facts_of
from orchestrator.state import State
from orchestrator.strict_json import dumps
from orchestrator.typed_json import plain
from tests.fake_cluster import FakeCluster
from tests.orchestrator.conftest import PretendedHead
from tests.orchestrator.statements import FINISHED, PROGRESS, STARTED, kept_facts

Make = Callable[..., Record]


def state(record: Record, *events: Event) -> Path:
    """Write the facts of a run into its folder as its processes do."""
    record.folder.make()
    record.folder.facts.write(dumps(plain(RunFacts().after(*events))))
    return Path(str(record.folder.facts))


def test_the_cluster_knows_best(cluster: FakeCluster, make_record: Make) -> None:
    record = make_record(address=cluster.url)
    state(record, PROGRESS)
    cluster.add(record.run, statuses=["STOPPED"])
    seen = view.look(record)
    assert (seen.state, seen.facts.progress) == (State.STOPPED, PROGRESS)


def test_an_ended_run_is_written_down_and_nobody_is_asked_again(
    cluster: FakeCluster, make_record: Make
) -> None:
    record = make_record(address=cluster.url)
    registry.save(record)
    cluster.add(record.run, statuses=["FAILED"], exit_code=2)
    view.look(record)
    cluster.asked.clear()
    again = view.look(registry.find(record.run))
    assert (again.state, again.exit_code, cluster.asked) == (State.FAILED, 2, [])


def test_results_of_a_run_elsewhere_come_from_its_log_and_stay(
    cluster: FakeCluster, make_record: Make
) -> None:
    record = make_record(address=cluster.url, run_dir="/not/on/this/machine")
    registry.save(record)
    log = f"noise\n{to_line(FINISHED)}\n"
    cluster.add(record.run, statuses=["SUCCEEDED"], logs=[log])
    assert view.look(record).facts.finished == FINISHED
    del cluster.jobs[record.run]
    assert view.look(registry.find(record.run)).facts.finished == FINISHED


def test_a_job_that_its_cluster_forgot_is_lost_unless_its_folder_has_the_end(
    cluster: FakeCluster, make_record: Make
) -> None:
    lost, done = make_record("lost-1", address=cluster.url), make_record(address=cluster.url)
    untold = make_record("untold-1", address=cluster.url)  # its driver died before it said so
    state(lost, PROGRESS)
    state(done, FINISHED)
    state(untold, PROGRESS)
    untold.folder.result.write(dumps(plain(FINISHED)))
    seen = view.look_all([lost, done, untold])
    assert [one.state for one in seen] == [State.LOST, State.SUCCEEDED, State.SUCCEEDED]
    assert seen[2].facts.finished == FINISHED


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize(
    ("ray", "exit_code", "meant"),
    [
        ("STOPPED", 1, State.SUCCEEDED),
        ("FAILED", 137, State.SUCCEEDED),
        ("FAILED", None, State.SUCCEEDED),
        ("FAILED", 1, State.FAILED),
        ("RUNNING", None, State.RUNNING),
    ],
)
def test_a_run_with_results_has_finished_once_its_job_has_ended_unless_it_says_that_it_failed(
    cluster: FakeCluster,
    make_record: Make,
    alone: bool,
    ray: str,
    exit_code: int | None,
    meant: State,
) -> None:
    record = make_record(address=cluster.url)
    registry.save(record)
    state(record, PROGRESS)
    record.folder.result.write(dumps(plain(FINISHED)))
    cluster.add(record.run, statuses=[ray], exit_code=exit_code)
    seen = view.look(record) if alone else view.look_all([record])[0]
    assert seen.state is meant
    if meant is State.SUCCEEDED:
        assert (seen.facts.finished, seen.exit_code, seen.note) == (FINISHED, None, view.CUT_SHORT)
    settled = registry.find(record.run).last.outcome
    assert (settled.state if settled else None) == (
        meant if alone and meant is not State.RUNNING else None
    )


def test_a_record_that_the_driver_left_open_is_closed_at_a_later_look_too(
    cluster: FakeCluster, make_record: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = make_record(address=cluster.url)
    registry.save(record)
    state(record, PROGRESS)
    record.folder.result.write(dumps(plain(FINISHED)))
    cluster.add(record.run, statuses=["STOPPED"])
    noticed: list[State] = []
    monkeypatch.setattr(view.record_ends, "notice", lambda state, *_, **__: noticed.append(state))
    for _ in range(2):  # MLflow may have been silent at the first
        view.look(registry.find(record.run))
    assert noticed == [State.SUCCEEDED] * 2


def test_a_silent_cluster_leaves_what_the_folder_says(make_record: Make) -> None:
    known, unknown = make_record("known-1"), make_record("unknown-1")
    state(known, PROGRESS)
    views = view.look_all([known, unknown])
    assert [seen.state for seen in views] == [State.RUNNING, State.PENDING]
    assert [seen.note for seen in views] == [view.FROM_FOLDER, view.SILENT]


def test_the_end_of_an_earlier_attempt_is_not_the_end_of_this_one(
    cluster: FakeCluster, make_record: Make
) -> None:
    record = make_record("digits-1", 1.0, 1000.0, address=cluster.url)
    os.utime(state(record, PROGRESS, Stopped(message="saved")), (500, 500))
    seen = view.look(record)
    assert (seen.state, seen.facts.state) == (State.LOST, None)
    assert seen.facts.progress == PROGRESS


def test_a_run_of_a_local_head_that_is_gone_is_lost(make_record: Make) -> None:
    assert view.look(make_record(local=True)).state is State.LOST


def test_a_local_head_that_is_alive_and_silent_leaves_what_the_folder_says(
    make_record: Make,
    pretended_head: Callable[[], PretendedHead],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noticed: list[State] = []
    monkeypatch.setattr(view.record_ends, "notice", lambda state, *_, **__: noticed.append(state))
    for name in ("LOOK_SECONDS", "LIST_SECONDS"):
        monkeypatch.setattr(view, name, 0.2)
    pretended = pretended_head()
    record = make_record(local=True)
    registry.save(record)
    state(record, PROGRESS)
    for seen in (view.look(record), *view.look_all([record])):
        assert (seen.state, seen.note) == (State.RUNNING, view.FROM_FOLDER)
    assert registry.find(record.run).last.outcome is None
    pretended.die()
    assert view.look(record).state is State.LOST
    assert noticed == [State.RUNNING, State.RUNNING, State.LOST]


def test_many_runs_of_one_cluster_cost_one_question(
    cluster: FakeCluster, make_record: Make
) -> None:
    records = [make_record(f"digits-{i}", address=cluster.url) for i in range(5)]
    for record in records:
        state(record, PROGRESS)
        cluster.add(record.run)
    assert {seen.state for seen in view.look_all(records)} == {State.RUNNING}
    assert cluster.asked == ["GET /api/jobs/"]


def test_what_a_running_job_elsewhere_has_done_is_asked_for_in_the_list(
    cluster: FakeCluster, make_record: Make
) -> None:
    records = [make_record(f"digits-{i}", address=cluster.url) for i in range(3)]
    for record in records[:2]:
        cluster.add(record.run, facts=kept_facts(STARTED, PROGRESS))
    cluster.add(records[2].run)
    seen = view.look_all(records)
    assert [each.facts.progress for each in seen] == [PROGRESS, PROGRESS, None]


def test_jobs_of_others_are_described_by_their_own_metadata(
    cluster: FakeCluster, make_record: Make
) -> None:
    own = make_record(address=cluster.url)
    registry.save(own)
    cluster.add(own.run, metadata={"orch": "0", "run": own.run})
    theirs = {"orch": "0", "run": "theirs-1", "name": "theirs", "run_dir": "/not/here"}
    cluster.add("theirs-1.a2", metadata=theirs, facts=kept_facts(STARTED, PROGRESS))
    cluster.add("not-orch", metadata={})
    found = view.unknown_jobs(ClusterClient(cluster.url))
    assert [(seen.record.run, seen.record.name) for seen in found] == [("theirs-1", "theirs")]
    assert found[0].facts.progress == PROGRESS


@pytest.mark.parametrize("content", ["", "{half", "[]"])
def test_an_unreadable_progress_file_counts_as_none(make_record: Make, content: str) -> None:
    record = make_record()
    state(record).write_text(content)
    assert facts_of(record) == RunFacts()


def test_a_failure_that_found_no_room_in_the_folder_is_read_from_the_log_and_stays(
    cluster: FakeCluster, make_record: Make, tmp_path: Path
) -> None:
    record = make_record(address=cluster.url, run_dir=str(tmp_path / "run"))
    registry.save(record)
    state(record, PROGRESS)
    failed = Failed(message="Nothing more can be written.", exit_code=1)
    log = f"{to_line(failed)}\n"
    cluster.add(record.run, statuses=["FAILED"], exit_code=1, logs=[log])
    assert view.look(record).facts.failed == failed
    again = view.look(registry.find(record.run))
    assert again.facts.failed == failed
    assert again.facts.progress == PROGRESS
