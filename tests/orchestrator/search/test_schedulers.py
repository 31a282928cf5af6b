"""What every scheduler must do."""

import random
from typing import Any

import pytest

from orchestrator.job.search import Search
from orchestrator.search.schedulers import SCHEDULERS, Scheduler, scheduler_of

EPOCHS = 9


def made(name: str, epochs: int = EPOCHS, direction: str = "max", **section: Any) -> Scheduler:
    space = {"a": {"uniform": [0, 1]}}
    search = Search(  # type: ignore[call-arg]
        space=space, direction=direction, scheduler={"name": name, **section}
    )
    return scheduler_of(search, epochs)


def curves(trials: int) -> list[list[float]]:
    """Return noisy learning curves of trials that differ."""
    chance = random.Random(2)
    level = [chance.uniform(60, 95) for _ in range(trials)]
    return [[own * (1 - 0.5**e) + chance.gauss(0, 1) for e in range(1, EPOCHS)] for own in level]


def stops(scheduler: Scheduler, values: list[list[float]]) -> list[int]:
    """Return after which epoch each trial was stopped, one after the other; EPOCHS if never."""
    found = []
    for number, curve in enumerate(values):
        verdicts = (scheduler.verdict(f"t{number}", e, v) for e, v in enumerate(curve, start=1))
        found.append(next((e for e, why in enumerate(verdicts, start=1) if why), EPOCHS))
    return found


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_same_reports_lead_to_the_same_verdicts(name: str) -> None:
    assert stops(made(name), curves(40)) == stops(made(name), curves(40))


@pytest.mark.parametrize("name", SCHEDULERS)
def test_to_minimize_is_to_maximize_the_opposite(name: str) -> None:
    opposite = [[-value for value in curve] for curve in curves(40)]
    assert stops(made(name, direction="min"), opposite) == stops(made(name), curves(40))


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_first_trial_and_a_better_one_are_never_stopped(name: str) -> None:
    better = [[60.0 + number + epoch for epoch in range(1, EPOCHS)] for number in range(10)]
    assert stops(made(name), better) == [EPOCHS] * 10


@pytest.mark.parametrize("name", [name for name in SCHEDULERS if name != "none"])
def test_a_much_worse_trial_is_stopped_at_a_rung_and_told_why(name: str) -> None:
    scheduler = made(name)
    stops(scheduler, curves(10))
    assert scheduler.rungs[0] == 1
    assert "1.25 after epoch 1 " in scheduler.verdict("worse", 1, 1.25)


@pytest.mark.parametrize("name", [name for name in SCHEDULERS if name != "none"])
def test_nothing_is_stopped_before_its_grace_is_over(name: str) -> None:
    scheduler = made(name, grace=4)
    assert min(stops(scheduler, curves(40))) == scheduler.rungs[0] == 4


@pytest.mark.parametrize("name", [name for name in SCHEDULERS if name != "none"])
def test_stops_happen_at_rungs_only(name: str) -> None:
    scheduler = made(name)
    found = {stop for stop in stops(scheduler, curves(60)) if stop < EPOCHS}
    assert found
    assert found <= set(scheduler.rungs)


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("epochs", [1, 2])
def test_a_run_shorter_than_the_grace_is_never_stopped(name: str, epochs: int) -> None:
    section = {} if name == "none" else {"grace": 5}
    scheduler = made(name, epochs=epochs, **section)
    assert list(scheduler.rungs) == []


def test_without_a_scheduler_nothing_is_stopped() -> None:
    assert stops(made("none"), curves(40)) == [EPOCHS] * 40
