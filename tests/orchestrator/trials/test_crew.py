"""What a crew makes of legs, of requests to stop and of workers that are lost."""

from collections.abc import Callable

import pytest
from ray.exceptions import ActorDiedError

from orchestrator.errors import DataError
from orchestrator.job.schema import Job
from orchestrator.run_facts import facts_of
from orchestrator.search.crew import Leg, News
from orchestrator.search.records import Began, How, Left, Reported
from orchestrator.state import State
from orchestrator.store.folder import StorageTrouble
from orchestrator.store.run_folder import RunFolder
from orchestrator.store.search_folder import SearchFolder
from orchestrator.trials import crew as module
from orchestrator.trials.crew import RayCrew

GOOD = {"optimizer.lr": 0.05}


def leg(run: str = "t001", lr: float = 0.05, until: int | None = None) -> Leg:
    return Leg(run, run, {"optimizer.lr": lr}, 0, until)


def kinds(told: list[News]) -> list[str]:
    return [type(news).__name__ for news in told]


def last(told: list[News]) -> Left:
    assert isinstance(told[-1], Left)
    return told[-1]


def test_a_run_begins_reports_each_epoch_and_leaves_as_a_plain_run_would(
    heard: Callable[..., list[News]], search: SearchFolder
) -> None:
    told = heard(leg())
    assert kinds(told) == ["Began", "Reported", "Reported", "Left"]
    assert [news.epoch for news in told if isinstance(news, Reported)] == [1, 2]
    assert last(told).how == How.FINISHED
    folder = search.of_run("t001")
    assert facts_of(folder).state == State.SUCCEEDED
    assert folder.table.read().startswith("| point |")
    assert "lr: 0.05" in folder.job.read()
    assert "search: null" in folder.job.read()


def test_the_job_of_a_run_is_known_once_it_has_begun(
    crew: RayCrew, heard: Callable[..., list[News]], search: SearchFolder
) -> None:
    assert crew.job_of("t001") is None
    heard(leg())
    job = crew.job_of("t001")
    assert job is not None
    assert job["optimizer"]["lr"] == 0.05
    search.of_run("t001").job.write("{")
    assert crew.job_of("t001") is None


def test_a_group_is_kept_for_the_next_leg_and_ended_when_there_is_none(
    crew: RayCrew, heard: Callable[..., list[News]], groups: type
) -> None:
    heard(leg("t001"))
    heard(leg("t002"))
    [group] = groups.made
    assert [task.name for task in group.tasks] == ["t001", "t002"]
    assert not group.closed
    assert crew.news(0) == []
    assert group.closed


def test_there_is_room_for_as_many_legs_as_the_cluster_has_places(
    crew: RayCrew, search: SearchFolder
) -> None:
    assert crew.free() == 1
    search.run.ask_to_stop()
    assert crew.free() == 0
    search.run.withdraw_stop()
    crew.hand(leg())
    assert crew.free() == 0


def test_a_leg_that_parks_goes_on_where_it_was(
    heard: Callable[..., list[News]], search: SearchFolder
) -> None:
    assert last(heard(leg(until=1))).how == How.PARKED
    assert not search.of_run("t001").result.exists()
    told = heard(leg())
    assert last(told).how == How.FINISHED
    assert [news.epoch for news in told if isinstance(news, Reported)] == [1, 2]


def test_numbers_that_are_not_finite_are_the_reason_of_a_failure(
    heard: Callable[..., list[News]], search: SearchFolder, groups: type
) -> None:
    end = last(heard(leg(lr=1e12)))
    assert end.how == How.FAILED
    assert "no longer" in end.reason
    assert facts_of(search.of_run("t001")).state == State.FAILED
    assert last(heard(leg("t002"))).how == How.FINISHED
    assert len(groups.made) == 1


def test_settings_that_no_job_can_have_fail_their_run_alone(
    crew: RayCrew, heard: Callable[..., list[News]]
) -> None:
    end = last(heard(leg(lr=-1.0)))
    assert end.how == How.FAILED
    assert "optimizer.lr" in end.reason
    assert crew.free() == 1


def test_a_lost_worker_costs_its_group_and_not_its_run(
    heard: Callable[..., list[News]], search: SearchFolder, groups: type
) -> None:
    groups.errors.append(ActorDiedError())
    told = heard(leg())
    assert kinds(told) == ["Began", "Began", "Reported", "Reported", "Left"]
    assert last(told).how == How.FINISHED
    lost, other = groups.made
    assert lost.closed
    assert [news.group for news in told if isinstance(news, Began)] == [lost.name, other.name]
    restarted = facts_of(search.of_run("t001")).restarted
    assert restarted is not None
    assert "killed or crashed" in restarted.reason


def test_a_run_that_loses_its_workers_too_often_fails_with_the_reason(
    heard: Callable[..., list[News]], groups: type
) -> None:
    groups.errors += [ActorDiedError()] * 4
    end = last(heard(leg()))
    assert end.how == How.FAILED
    assert "cluster.max_failures = 3" in end.reason


def test_an_error_that_a_member_named_is_not_tried_again(
    heard: Callable[..., list[News]], groups: type
) -> None:
    groups.errors.append(DataError("Too many samples are broken."))
    assert last(heard(leg())).reason == "Too many samples are broken."
    assert len(groups.made) == 1


def test_a_storage_that_was_away_is_not_the_fault_of_a_run(
    heard: Callable[..., list[News]], search: SearchFolder, groups: type
) -> None:
    groups.errors.append(StorageTrouble("s3://models/runs: is its server there?"))
    assert last(heard(leg())).how == How.FINISHED
    assert len(groups.made) == 2
    restarted = facts_of(search.of_run("t001")).restarted
    assert restarted is not None
    assert "is its server there?" in restarted.reason


def test_a_run_that_a_person_has_stopped_stays_stopped_without_a_group(
    heard: Callable[..., list[News]], search: SearchFolder, groups: type
) -> None:
    search.of_run("t001").make()
    search.of_run("t001").ask_to_stop_by_name()
    told = heard(leg())
    assert kinds(told) == ["Left"]
    assert last(told).how == How.STOPPED
    assert groups.made == []


def test_a_run_that_finished_before_a_person_stopped_it_has_finished(
    heard: Callable[..., list[News]], search: SearchFolder
) -> None:
    assert last(heard(leg())).how == How.FINISHED
    search.of_run("t001").ask_to_stop_by_name()
    assert last(heard(leg())).how == How.FINISHED


def test_a_person_who_asks_while_a_run_is_handed_out_is_heard(
    heard: Callable[..., list[News]], search: SearchFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = module.driver.prepare

    def ask_then_prepare(folder: RunFolder, job: Job) -> None:
        folder.make()
        folder.ask_to_stop_by_name()
        prepare(folder, job)

    monkeypatch.setattr(module.driver, "prepare", ask_then_prepare)
    assert last(heard(leg())).how == How.STOPPED
    assert not search.of_run("t001").result.exists()


def test_what_a_driver_asked_that_is_gone_does_not_stop_a_run(
    heard: Callable[..., list[News]], search: SearchFolder
) -> None:
    search.of_run("t001").make()
    search.of_run("t001").ask_to_stop()
    assert last(heard(leg())).how == How.FINISHED


def test_a_search_that_is_stopped_parks_its_runs_and_they_go_on_later(
    crew: RayCrew, search: SearchFolder, heard: Callable[..., list[News]]
) -> None:
    search.run.ask_to_stop()
    assert last(heard(leg())).how == How.PARKED
    assert facts_of(search.of_run("t001")).state == State.STOPPED
    search.run.withdraw_stop()
    assert last(heard(leg())).how == How.FINISHED


@pytest.mark.parametrize(("by_name", "how"), [(False, How.PARKED), (True, How.STOPPED)])
def test_a_run_that_is_asked_to_stop_saves_and_goes_on_later_unless_a_person_named_it(
    crew: RayCrew,
    search: SearchFolder,
    groups: type,
    monkeypatch: pytest.MonkeyPatch,
    by_name: bool,
    how: How,
) -> None:
    monkeypatch.setattr(groups, "seconds", 0.3)
    crew.hand(leg())
    told: list[News] = []
    while not any(isinstance(news, Began) for news in told):
        told += crew.news(30)
    if by_name:
        search.of_run("t001").ask_to_stop_by_name()
    else:
        crew.ask_to_stop("t001")
    while not any(isinstance(news, Left) for news in told):
        told += crew.news(30)
    assert last(told).how == how


def test_a_run_that_a_person_stopped_stays_stopped_when_the_search_is_stopped_as_well(
    crew: RayCrew, search: SearchFolder
) -> None:
    crew.hand(leg())
    search.of_run("t001").ask_to_stop_by_name()
    search.run.ask_to_stop()
    told: list[News] = []
    while not any(isinstance(news, Left) for news in told):
        told += crew.news(30)
    assert last(told).how == How.STOPPED


def test_a_search_that_is_stopped_asks_its_runs_to_save(
    crew: RayCrew, search: SearchFolder, groups: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "seconds", 0.3)
    crew.hand(leg())
    told: list[News] = []
    while not any(isinstance(news, Began) for news in told):
        told += crew.news(30)
    search.run.ask_to_stop()
    while not any(isinstance(news, Left) for news in told):
        told += crew.news(30)
    assert last(told).how == How.PARKED
    assert not search.of_run("t001").result.exists()


def test_a_run_that_has_finished_is_not_trained_again(
    heard: Callable[..., list[News]], groups: type
) -> None:
    heard(leg())
    told = heard(leg())
    assert kinds(told) == ["Reported", "Reported", "Left"]
    assert last(told).how == How.FINISHED
    assert sum(len(group.tasks) for group in groups.made) == 1


def test_a_leg_gets_workers_of_its_shape_and_leaves_others_to_the_next_one(
    crew: RayCrew, heard: Callable[..., list[News]], groups: type
) -> None:
    heard(leg("t001"))
    crew.hand(Leg("t002", "t002", {"training.deterministic": True}, 0, None))
    crew.hand(leg("t003"))
    told: list[News] = []
    while [type(news) for news in told].count(Left) < 2:
        told += crew.news(30)
    plain, deterministic = groups.made
    assert [task.name for task in plain.tasks] == ["t001", "t003"]
    assert [task.name for task in deterministic.tasks] == ["t002"]
    assert [group.shape.deterministic for group in groups.made] == [False, True]


@pytest.mark.parametrize("seed", [0, 2])
def test_each_seed_of_a_trial_has_its_own(
    crew: RayCrew, search: SearchFolder, search_job: Callable[..., Job], seed: int
) -> None:
    crew.hand(Leg("t001", "t001s1", GOOD, seed, None))
    assert f"seed: {search_job().seed + seed}" in search.of_run("t001s1").job.read()
