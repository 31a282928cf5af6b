"""Schedules against the golden vectors of the papers' recipes, and what holds for all of them."""

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.job.optimizer import Optimizer, Sgd
from orchestrator.train.position import Position
from orchestrator.train.schedules import factor

RECIPES: dict[str, dict[str, Any]] = {
    "coquant_multistep": {"schedule": "multistep"},
    "coquant_cosine": {},
    "adabits": {"epochs": 150, "warmup_epochs": 5, "schedule_per": "step"},
    "bitmixer": {"warmup_epochs": 10},
    "one_weight_cifar": {"warmup_epochs": 5, "schedule_per": "step"},
}


def settings_of(case: dict[str, Any], **others: Any) -> Optimizer:
    """The job's section that says a golden recipe."""
    own = {key: value for key, value in RECIPES[case["kind"]].items() if key != "epochs"}
    if case["kind"] == "adabits":
        peak = 0.05 * case["batch"] / 256
        own |= {"lr": peak, "warmup_start": 0.05 / peak}
    else:
        own |= {"lr": case["lr"], "milestones": tuple(case.get("milestones", ()))}
    return Sgd.Settings(**{**own, **others})


@pytest.mark.golden
def test_the_papers_recipes_give_the_golden_learning_rates(
    golden: Callable[[str], list[dict[str, Any]]],
) -> None:
    cases = golden("schedules")
    assert {case["kind"] for case in cases} == RECIPES.keys()
    for case in cases:
        settings = settings_of(case)
        epochs = RECIPES[case["kind"]].get("epochs") or case["epochs"]
        steps = case.get("iters_per_epoch")
        for number, expected in case["values"].items():
            epoch, step = divmod(int(number), steps) if steps else (int(number), 3)
            position = Position(0, epoch, step, epochs, steps or 7)
            assert settings.lr * factor(settings, position) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("schedule", ["multistep", "cosine", "constant"])
def test_per_epoch_all_steps_of_an_epoch_have_one_rate(schedule: str) -> None:
    settings = Sgd.Settings(lr=1, schedule=schedule, milestones=(4,), warmup_epochs=2)
    for epoch in range(6):
        assert len({factor(settings, Position(0, epoch, step, 6, 5)) for step in range(5)}) == 1


@pytest.mark.parametrize("schedule", ["multistep", "cosine", "constant"])
def test_without_warm_up_the_first_step_has_the_full_rate(schedule: str) -> None:
    for per in ("epoch", "step"):
        settings = Sgd.Settings(lr=1, schedule=schedule, schedule_per=per, milestones=(1,))
        assert factor(settings, Position(0, 0, 0, 3, 5)) == 1


def test_a_warm_up_per_step_rises_by_the_same_amount_each_step_and_ends_at_the_peak() -> None:
    settings = Sgd.Settings(
        lr=1, schedule="constant", schedule_per="step", warmup_epochs=2, warmup_start=0.2
    )
    rates = [factor(settings, Position(0, e, s, 3, 4)) for e in range(3) for s in range(4)]
    assert rates == pytest.approx([0.2 + 0.1 * n for n in range(8)] + [1.0] * 4)


def test_milestones_are_epochs_whatever_the_schedule_moves_on_with() -> None:
    settings = Sgd.Settings(lr=1, schedule="multistep", schedule_per="step", milestones=(1, 3))
    rates = [factor(settings, Position(0, e, s, 4, 2)) for e in range(4) for s in range(2)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_each_phase_goes_through_the_schedule_from_the_start() -> None:
    settings = Sgd.Settings(lr=1, warmup_epochs=1, warmup_start=0.5, schedule_per="step")
    places = [(epoch, step) for epoch in range(3) for step in range(2)]
    first, second = (
        [factor(settings, Position(phase, *place, 3, 2)) for place in places] for phase in (0, 1)
    )
    assert first == second


def test_a_run_that_ends_within_its_warm_up_never_reaches_the_peak() -> None:
    settings = Sgd.Settings(lr=1, warmup_epochs=5)
    assert [factor(settings, Position(0, e, 0, 2, 3)) for e in range(2)] == [0.2, 0.4]
