"""Trials and what they are called."""

from orchestrator.search.records import How, Left, Reported
from orchestrator.search.trial import Run, Stretch, Trial, run_names, trial_name


def test_names_count_from_one() -> None:
    assert [trial_name(number) for number in (0, 6, 999)] == ["t001", "t007", "t1000"]
    assert run_names("t007", 1) == ["t007"]
    assert run_names("t007", 2) == ["t007s1", "t007s2"]


def test_a_run_trains_on_before_it_has_left_and_when_it_is_parked() -> None:
    assert not Run("t001").over
    over = [how for how in How if Run("t001", left=Left(0.0, "t001", how)).over]
    assert over == [How.FINISHED, How.STOPPED, How.FAILED]


def test_worker_seconds_are_those_of_all_workers_together() -> None:
    stretches = (Stretch("t001", 0.0, 3.0, 2), Stretch("t001", 10.0, 11.0, 4))
    assert Trial("t001", {}, stretches=stretches).worker_seconds == 10.0


def test_a_point_or_delta_b_that_one_seed_lacks_has_no_mean() -> None:
    first = Reported(0.0, "t001s1", 2, 20, {"8bit": 90.0, "2bit": 70.0}, 98.0)
    second = Reported(0.0, "t001s2", 2, 20, {"2bit": 72.0}, None)
    runs = [Run("t001s1", {2: first}), Run("t001s2", {2: second})]
    trial = Trial("t001", {}).after_reports(runs, "2bit")
    assert (trial.value, trial.points, trial.delta_b) == (71.0, {"2bit": 71.0}, None)
    assert Trial("t001", {}).after_reports(runs, "8bit").value is None


def test_seeds_without_a_common_epoch_have_no_value() -> None:
    report = Reported(0.0, "t001s1", 1, 10, {"2bit": 70.0}, None)
    runs = [Run("t001s1", {1: report}), Run("t001s2")]
    assert Trial("t001", {}).after_reports(runs, "2bit") == Trial("t001", {})
