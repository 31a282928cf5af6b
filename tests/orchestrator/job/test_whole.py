"""What is said of a job when the name of one of its components is wrong."""

from pathlib import Path

import pytest

from orchestrator.errors import JobFileError
from orchestrator.job.load import load_job

JOB = """
name: mine
model: {name: resnet18_cifar}
data: {name: cifar10, root: data}
method: {name: coquant, p1: 0.9}
optimizer: {lr: 5e-2}
training: {epochs: 3, global_batch: 128}
"""


def mistake_of(folder: Path, *overrides: str) -> str:
    file = folder / "mine.yaml"
    file.write_text(JOB)
    with pytest.raises(JobFileError) as caught:
        load_job(file, overrides)
    [mistake] = caught.value.mistakes
    return mistake


def test_nothing_is_said_of_epochs_while_the_method_is_unknown(tmp_path: Path) -> None:
    given = ("method={name: direkt, calibrate: true}", "training.epochs=0")
    found = mistake_of(tmp_path, *given)
    assert found.startswith(
        "--set  method.name: no method is called 'direkt'. Did you mean 'direct'?"
    )


def test_nothing_is_said_of_settings_left_behind_while_another_name_is_wrong(
    tmp_path: Path,
) -> None:
    wrong = ("method.name=adabits", "model={name: resnet18_cifr, dpths: 3}")
    found = mistake_of(tmp_path, *wrong)
    assert found.startswith("--set  model.name: no model is called 'resnet18_cifr'. Did you mean")
