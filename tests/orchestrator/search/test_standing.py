"""How a search stands, from hand-written journals."""

import subprocess
import sys
from dataclasses import replace

import pytest

from orchestrator.search.records import (
    Asked,
    Attempt,
    Began,
    Closed,
    Ended,
    How,
    Left,
    Opened,
    Planned,
    Record,
    Reported,
    TrialState,
)
from orchestrator.search.standing import Best, Standing

OPENED = Opened(0.0, "s", "2bit", "max", ("method.p1",), (), 4, 1, "none", "random", 2, 2)


def planned(time: float, trial: str) -> Planned:
    return Planned(time, trial, {"method.p1": 0.5}, "anywhere")


def report(time: float, run: str, epoch: int, value: float) -> Reported:
    return Reported(time, run, epoch, 10 * epoch, {"2bit": value}, value + 1)


def ended(time: float, trial: str, value: float | None, state: TrialState) -> Ended:
    return Ended(time, trial, state, value, None, {}, None, 2, 20, f"why {trial}")


def one_trial(trial: str, start: float, values: tuple[float, float]) -> list[Record]:
    """Return the records of a finished trial: two workers, ten seconds."""
    return [
        planned(start, trial),
        Began(start, trial, "group 1", 2),
        report(start + 5, trial, 1, values[0]),
        report(start + 10, trial, 2, values[1]),
        Left(start + 10, trial, How.FINISHED),
        ended(start + 10, trial, values[1], TrialState.FINISHED),
    ]


def test_a_trial_goes_from_planned_to_its_end() -> None:
    standing = Standing()
    states = []
    for record in [OPENED, Attempt(0.0, 1), *one_trial("t001", 0.0, (70.0, 80.0))]:
        standing.add(record)
        states += [(trial.state, trial.value, trial.epoch) for trial in standing.trials.values()]
    assert states == [
        (TrialState.PLANNED, None, 0),
        (TrialState.RUNNING, None, 0),
        (TrialState.RUNNING, 70.0, 1),
        (TrialState.RUNNING, 80.0, 2),
        (TrialState.RUNNING, 80.0, 2),
        (TrialState.FINISHED, 80.0, 2),
    ]
    assert standing.trials["t001"].reason == "why t001"
    assert standing.counts == {TrialState.FINISHED: 1}


def test_the_best_is_a_finished_one_where_there_is_one() -> None:
    records = [OPENED, planned(0.0, "t009"), Began(0.0, "t009", "g", 2), report(1, "t009", 1, 99.0)]
    assert Standing.of(records[:2]).best is None
    standing = Standing.of(records)
    assert standing.best is standing.trials["t009"]
    standing = Standing.of([*records, *one_trial("t001", 2.0, (70.0, 80.0))])
    assert standing.best is standing.trials["t001"]


@pytest.mark.parametrize(("direction", "best"), [("max", "t002"), ("min", "t003")])
def test_best_so_far_follows_the_direction(direction: str, best: str) -> None:
    values = {"t001": 80.0, "t002": 90.0, "t003": 70.0}
    records: list[Record] = [replace(OPENED, direction=direction)]
    for number, (trial, value) in enumerate(values.items()):
        records += one_trial(trial, 10.0 * number, (0.0, value))
    standing = Standing.of(records)
    assert standing.best is standing.trials[best]
    after = {"t002": 40.0, "t003": 60.0}[best]
    assert standing.curve == [Best(20.0, "t001", 80.0), Best(after, best, values[best])]


def test_seeds_are_compared_at_the_last_epoch_that_all_have_reached() -> None:
    records: list[Record] = [replace(OPENED, seeds=2), planned(0.0, "t001")]
    records += [Began(0.0, f"t001s{seed}", "g", 2) for seed in (1, 2)]
    standing = Standing.of([*records, report(1.0, "t001s1", 1, 70.0)])
    assert standing.trials["t001"].value is None
    standing.add(report(2.0, "t001s1", 2, 90.0))
    standing.add(report(3.0, "t001s2", 1, 76.0))
    trial = standing.trials["t001"]
    assert (trial.epoch, trial.step, trial.value, trial.spread) == (1, 10, 73.0, 6.0)
    assert (trial.by_seed, trial.points, trial.delta_b) == ((70.0, 76.0), {"2bit": 73.0}, 74.0)


def test_worker_seconds_are_those_of_all_workers_while_they_had_a_run() -> None:
    records: list[Record] = [OPENED, planned(0.0, "t001"), planned(0.0, "t002")]
    records += [Began(1.0, "t001", "g1", 2), Began(2.0, "t002", "g2", 2)]
    records += [Left(11.0, "t001", How.PARKED), Began(20.0, "t001", "g1", 2)]
    standing = Standing.of(records)
    assert standing.trials["t001"].worker_seconds == 20.0
    assert standing.worker_seconds(30.0) == 20.0 + 2 * (30 - 20) + 2 * (30 - 2)


def test_a_driver_that_died_took_workers_only_until_it_last_wrote() -> None:
    records: list[Record] = [OPENED, planned(0.0, "t001"), Began(0.0, "t001", "g", 2)]
    records += [report(5.0, "t001", 1, 70.0), Attempt(1000.0, 2)]
    standing = Standing.of(records)
    assert standing.attempts == 2
    assert standing.worker_seconds(2000.0) == 10.0
    standing.add(Began(2000.0, "t001", "g", 2))
    assert standing.worker_seconds(2003.0) == 16.0


def test_the_time_that_is_left_is_that_of_the_trials_that_are_left() -> None:
    records: list[Record] = [OPENED, *one_trial("t001", 0.0, (70.0, 80.0))]
    assert Standing.of(records[:-1]).eta_seconds(10.0) is None
    records += [planned(10.0, "t002"), Began(10.0, "t002", "group 1", 2)]
    standing = Standing.of(records)
    assert standing.eta_seconds(14.0) == 6.0 + 2 * 10.0
    assert standing.eta_seconds(100.0) == 2 * 10.0


def test_a_trial_that_failed_at_once_says_nothing_about_the_time_that_is_left() -> None:
    records: list[Record] = [
        OPENED,
        planned(0.0, "t001"),
        ended(0, "t001", None, TrialState.FAILED),
    ]
    assert Standing.of(records).eta_seconds(5.0) is None


def test_a_run_may_leave_without_having_begun() -> None:
    standing = Standing.of([OPENED, planned(0.0, "t001"), Left(1.0, "t001", How.FAILED, "no room")])
    assert standing.runs["t001"].over
    assert standing.worker_seconds(5.0) == 0.0


def test_time_passes_only_while_a_driver_is_there() -> None:
    assert Standing().elapsed(1e9) == 0.0
    standing = Standing.of([OPENED, Attempt(100.0, 1), planned(110.0, "t001"), Attempt(500.0, 2)])
    assert standing.elapsed(503.0) == 13.0


def test_an_epoch_that_is_reported_twice_counts_once() -> None:
    again = report(2.0, "t001", 1, 70.0)
    assert Standing.of([OPENED, planned(0.0, "t001"), again, again]).epochs == 1


def test_what_was_asked_and_whether_the_search_is_over_are_known() -> None:
    asked = Asked(2.0, "t001", TrialState.STOPPED_EARLY, "70 < 80")
    standing = Standing.of([OPENED, planned(1.0, "t001"), asked, Closed(3.0)])
    assert standing.asked == {"t001": asked}
    assert standing.closed == Closed(3.0)
    standing.add(Attempt(4.0, 2))
    assert standing.closed is None


def test_records_of_trials_that_are_not_known_are_skipped() -> None:
    strange = one_trial("t001", 0.0, (70.0, 80.0))[1:]
    assert Standing.of([OPENED, *strange]).trials == {}
    assert Standing.of(one_trial("t001", 0.0, (70.0, 80.0))).trials == {}


def test_who_only_reads_a_journal_loads_nothing_heavy() -> None:
    heavy = {"torch", "ray", "mlflow", "numpy", "pydantic", "yaml"}
    code = (
        "import sys, orchestrator.search.journal, orchestrator.search.standing;"
        f"print(*({heavy} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert found.stdout.strip() == b""


def test_the_time_between_two_drivers_does_not_count_where_a_search_is_extended() -> None:
    records: list[Record] = [OPENED, Attempt(100.0, 1), planned(110.0, "t001")]
    records += [Began(110.0, "t001", "g", 2), replace(OPENED, time=9e4, trials=8)]
    standing = Standing.of([*records, Attempt(9e4, 2)])
    assert standing.elapsed(9e4 + 3) == 13.0
    assert standing.worker_seconds(9e4 + 3) == 0.0


def test_a_trial_that_ended_has_no_run_with_workers() -> None:
    records: list[Record] = [OPENED, *one_trial("t001", 0.0, (70.0, 80.0)), planned(10.0, "t002")]
    without_left = [record for record in records if not isinstance(record, Left)]
    standing = Standing.of(without_left)
    assert standing.trials["t001"].worker_seconds == 20.0
    assert standing.eta_seconds(10.0) == Standing.of(records).eta_seconds(10.0)
