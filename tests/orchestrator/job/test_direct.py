"""Jobs whose method trains nothing: what they need, and what has no place in them."""

from pathlib import Path

import pytest

from orchestrator.errors import JobFileError
from orchestrator.job.load import load_each_bit_width, load_job

JOB = """
name: mine
model: {name: resnet18_cifar}
data: {name: cifar10, root: data}
method: {name: direct}
optimizer: {lr: 0.1, schedule: multistep, milestones: [150], warmup_epochs: 5}
training: {epochs: 0, global_batch: 128}
start: {from: float, weights: a.pt}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "mine.yaml"
    file.write_text(JOB)
    return file


def refused(file: Path, *overrides: str) -> str:
    with pytest.raises(JobFileError) as caught:
        load_job(file, overrides)
    [mistake] = caught.value.mistakes
    return mistake


def test_a_job_without_epochs_evaluates_its_bit_widths_and_is_warned_of_nothing(file: Path) -> None:
    loaded = load_job(file, ["method.calibrate=true", "evaluate.calibration_batches=7"])
    assert loaded.warnings == []
    assert [point.name for point in loaded.job.points] == ["8bit", "6bit", "4bit", "2bit"]
    assert loaded.job.epochs == 0


def test_batches_for_a_calibration_that_nobody_asked_for_have_no_effect(file: Path) -> None:
    [warning] = load_job(file, ["evaluate.calibration_batches=7"]).warnings
    assert warning.startswith("evaluate.calibration_batches: no effect")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (
            "training.epochs=-1",
            "training.epochs: input should be greater than or equal to 0, got",
        ),
        ("start.from=scratch", "start.from: 'direct' needs trained weights; expected is float or"),
        ("evaluate.points=[7]", "evaluate.points: 'direct' evaluates quantizer.bit_widths; list"),
        ("phases=[{}]", "phases: 'direct' trains nothing; give it a job of its own"),
    ],
)
def test_what_a_job_without_training_cannot_have_is_refused_in_a_line(
    file: Path, override: str, words: str
) -> None:
    assert words in refused(file, override)


def test_epochs_of_the_file_are_a_mistake_and_those_for_all_jobs_of_a_table_have_no_effect(
    file: Path,
) -> None:
    loaded = load_job(file, ["training.epochs=3"])
    assert loaded.job.training.epochs == 0
    assert loaded.warnings == ["training.epochs: 3 has no effect, the method trains nothing."]
    file.write_text(JOB.replace("epochs: 0", "epochs: 3"))
    assert "expected 0, for the method trains nothing; got 3." in refused(file)


def test_every_other_method_needs_an_epoch(file: Path) -> None:
    expected = "training.epochs: input should be greater than or equal to 1, got 0."
    assert refused(file, "method={name: coquant}").endswith(expected)
    with pytest.raises(JobFileError) as caught:
        load_each_bit_width(file)
    assert all(mistake.endswith(expected) for mistake in caught.value.mistakes)
