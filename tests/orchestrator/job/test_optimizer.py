"""The optimizer's section: what it refuses, and which settings it says have no effect."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator.errors import JobFileError
from orchestrator.job.load import load_job
from orchestrator.job.optimizer import Adam, AdamW, Sgd, optimizer_warnings
from orchestrator.job.schema import job_from_dict


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
def test_an_impossible_schedule_is_refused(values: dict[str, Any], words: str) -> None:
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


BASE = """
name: mine
model: {name: resnet18_cifar}
method: {name: coquant}
data: {name: cifar10, root: here}
optimizer: {lr: 0.1, nesterov: true, schedule: constant}
training: {epochs: 3, global_batch: 32}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text(BASE)
    file = tmp_path / "mine.yaml"
    file.write_text("extends: base.yaml\noptimizer:\n  name: adam\n  lr: 0.001\n")
    return file


def test_a_job_that_names_another_optimizer_does_not_inherit_the_first_ones_own_settings(
    file: Path,
) -> None:
    loaded = load_job(file)
    assert loaded.job.optimizer == Adam.Settings(lr=0.001, schedule="constant")
    [warning] = loaded.warnings
    assert "base.yaml:6  optimizer.nesterov: left out, 'adam' has no such setting." in warning


def test_a_setting_of_another_optimizer_beside_the_name_is_a_mistake_with_its_line(
    file: Path,
) -> None:
    file.write_text(file.read_text() + "  momentum: 0.9\n")
    with pytest.raises(JobFileError) as caught:
        load_job(file)
    [mistake] = caught.value.mistakes
    assert "mine.yaml:5  optimizer.momentum: unknown key." in mistake
    assert "betas" in mistake


def test_an_optimizer_that_does_not_exist_is_a_mistake_with_a_suggestion(file: Path) -> None:
    with pytest.raises(JobFileError) as caught:
        load_job(file, ["optimizer.name=adamv"])
    assert "no optimizer is called 'adamv'. Did you mean 'adam" in caught.value.mistakes[0]


def test_without_a_name_the_optimizer_is_sgd(file: Path) -> None:
    job = load_job(file.parent / "base.yaml").job
    assert job.optimizer == Sgd.Settings(lr=0.1, nesterov=True, schedule="constant")
    assert job_from_dict(job.as_dict()) == job


def test_roles_and_betas_are_said_in_a_job_file(file: Path) -> None:
    overrides = ["optimizer.betas=[0.5, 0.9]", "optimizer.depthwise={weight_decay: 0}"]
    optimizer = load_job(file, [*overrides, "optimizer.step.lr=0.01"]).job.optimizer
    assert optimizer.own() == {"betas": (0.5, 0.9), "eps": 1e-8}
    assert (optimizer.weight_decay_of("depthwise"), optimizer.weight_decay_of("norm")) == (0, 5e-4)
    assert optimizer.lr_of("step", losses=4) == 0.01
