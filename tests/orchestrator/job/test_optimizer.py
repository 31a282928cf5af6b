"""The optimizer's section: what it refuses, and which settings it says have no effect."""

from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.job.optimizer import Adam, AdamW, Sgd, optimizer_warnings


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"schedule": "multistep"}, "needs milestones"),
        ({"schedule": "multistep", "milestones": (3, 2)}, "each later than the one before"),
        ({"milestones": (0,)}, "epochs from 1 on"),
        ({"schedule": "linear"}, "'multistep', 'cosine' or 'constant'"),
        ({"schedule_per": "batch"}, "'epoch' or 'step'"),
        ({"warmup_epochs": -1}, "greater than or equal to 0"),
        ({"warmup_start": 1.5}, "less than or equal to 1"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Sgd.Settings(lr=0.1, **values)


@pytest.mark.parametrize(
    ("values", "warnings"),
    [
        (
            {"milestones": (2,), "gamma": 0.5},
            [
                "optimizer.milestones: no effect, the schedule is cosine.",
                "optimizer.gamma: no effect, the schedule is cosine.",
            ],
        ),
        (
            {"schedule": "multistep", "milestones": (2, 30)},
            ["optimizer.milestones: 30 lie beyond the last of 10 epochs and have no effect."],
        ),
        ({"warmup_start": 0.1}, ["optimizer.warmup_start: no effect, warmup_epochs is 0."]),
        (
            {"schedule": "constant", "schedule_per": "step"},
            [
                "optimizer.schedule_per: no effect, the schedule is constant and there is no "
                "warm-up."
            ],
        ),
        (
            {"warmup_epochs": 10},
            ["optimizer.warmup_epochs: the run ends within the warm-up, after 10 of 10 epochs."],
        ),
        ({"schedule": "constant", "schedule_per": "step", "warmup_epochs": 1}, []),
        ({"schedule_per": "step", "warmup_epochs": 9, "warmup_start": 0.1}, []),
        ({"schedule": "multistep", "milestones": (2, 9), "gamma": 0.5}, []),
    ],
)
def test_a_setting_without_effect_is_warned_about(
    values: dict[str, Any], warnings: list[str]
) -> None:
    assert optimizer_warnings(Sgd.Settings(lr=0.1, **values), 10, values.keys()) == warnings


def test_a_default_without_effect_is_not_worth_a_warning() -> None:
    assert optimizer_warnings(Sgd.Settings(lr=0.1, schedule="constant"), 10, {"lr"}) == []


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        (Sgd, {"nesterov": True, "momentum": 0}, "nesterov needs a momentum above 0"),
        (Sgd, {"betas": (0.9, 0.99)}, "Extra inputs"),
        (Adam, {"momentum": 0.9}, "Extra inputs"),
        (AdamW, {"nesterov": True}, "Extra inputs"),
        (Adam, {"betas": (0.9, 1.0)}, "less than 1"),
        (AdamW, {"eps": 0}, "greater than 0"),
    ],
)
def test_settings_of_an_optimizer_that_cannot_be_are_refused(
    kind: type[Sgd], values: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        kind.Settings(lr=0.1, **values)
