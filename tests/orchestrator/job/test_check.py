"""Settings that have no effect, and passes that are smaller than they need to be."""

from pathlib import Path

import pytest

from orchestrator.errors import JobFileError
from orchestrator.job.load import load_each_bit_width, load_job

GOOD = """
name: mine
model: {name: resnet18_cifar}
data: {name: cifar10, root: data}
method: {name: coquant, lambda: 1e-3, p1: 0.9}
optimizer: {lr: 5e-2}
training: {epochs: 3, global_batch: 128}
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "mine.yaml"
    file.write_text(text)
    return file


def test_settings_without_effect_are_warned_about(tmp_path: Path) -> None:
    loaded = load_job(
        write(tmp_path, GOOD), ["optimizer.schedule=multistep", "optimizer.milestones=[2, 30]"]
    )
    assert loaded.warnings == [
        "optimizer.milestones: 30 lie beyond the last of 3 epochs and have no effect."
    ]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["method.teacher_mode=highest"], "method.lambda: no effect"),
        (["training.epochs=1"], "method.p1: no effect, the last epoch swaps nothing"),
        (["method.p1=1", "method.swap_unit=layer"], "method.swap_unit: no effect, method.p1 is 1"),
        (
            ["training.global_batch=74", "cluster={num_workers: 2, max_batch_per_worker: 36}"],
            "37 passes of 1,",
        ),
    ],
)
def test_what_is_switched_off_or_needlessly_small_is_warned_about(
    tmp_path: Path, overrides: list[str], words: str
) -> None:
    [warning] = load_job(write(tmp_path, GOOD), overrides).warnings
    assert words in warning


@pytest.mark.parametrize("floats", ["method={name: float}", "quantizer.bit_widths=[w4a32, w32a4]"])
def test_integers_are_refused_where_a_job_has_none_to_multiply(tmp_path: Path, floats: str) -> None:
    file = write(tmp_path, GOOD)
    assert load_job(file, ["training.arithmetic=integer"]).warnings == []
    for arithmetic in ("auto", "float"):
        load_job(file, [floats, f"training.arithmetic={arithmetic}"])
    with pytest.raises(JobFileError) as caught:
        load_job(file, [floats, "training.arithmetic=integer"])
    [line] = caught.value.mistakes
    assert "training.arithmetic: integer is not possible, no operating point quantizes" in line
    assert "With auto, the job computes in floats." in line


def test_a_published_row_without_a_trained_point_is_worth_a_warning(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD + "reference: {published: cifar10_resnet18}\n")
    mix = "quantizer.assignment={mix: {default: 4}}"
    assert load_job(file).warnings == []
    assert load_job(file, ["quantizer.bit_widths=[8, 3]", mix]).warnings == [
        "reference.published: there will be no Delta_B, 'cifar10_resnet18' has no result at mix, "
        "3bit; it has 8bit, 6bit, 4bit, 2bit."
    ]
    phases = ["phases=[{quantizer: {bit_widths: [5, 3]}}, {quantizer: {bit_widths: [8, 4]}}]"]
    assert load_job(file, phases).warnings == []


def test_a_reference_that_lacks_an_assignment_says_what_to_give(tmp_path: Path) -> None:
    mix = "quantizer={bit_widths: [8], assignment: {mix: {default: 4}}}"
    with pytest.raises(JobFileError) as caught:
        load_job(write(tmp_path, GOOD), [mix, "reference.runs=one"])
    assert caught.value.mistakes == [
        "--set  reference.runs: names no run for mix; give one for each point: "
        "{8bit: RUN, mix: RUN}."
    ]


def test_the_calibration_of_no_point_is_worth_a_warning(tmp_path: Path) -> None:
    file, batches = write(tmp_path, GOOD), "evaluate.calibration_batches=9"
    assert load_job(file, [batches]).warnings == [
        "evaluate.calibration_batches: no effect, evaluate.points is empty."
    ]
    assert load_job(file, [batches, "evaluate.points=[3]"]).warnings == []
    assert [one.warnings for one in load_each_bit_width(file, [batches])] == [[]] * 4
