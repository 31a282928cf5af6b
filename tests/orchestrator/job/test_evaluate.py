"""Which points can be judged without having been trained."""

from pathlib import Path

import pytest

from models.precision import OperatingPoint, Precision
from orchestrator.errors import JobFileError
from orchestrator.job.differ import differences
from orchestrator.job.evaluate import Evaluate, drawn_from, mistakes, uniform
from orchestrator.job.load import load_each_bit_width, load_job
from orchestrator.job.schema import job_from_dict

JOB = """
name: mine
model: {name: resnet18_cifar}
data: {name: cifar10, root: data}
method: {name: coquant}
optimizer: {lr: 0.1}
training: {epochs: 3, global_batch: 128}
quantizer: {bit_widths: [6, 4, 2]}
evaluate: {points: [5, "3bit", w2a4], calibration_batches: 7}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "mine.yaml"
    file.write_text(JOB)
    return file


def refused(file: Path, *overrides: str) -> list[str]:
    with pytest.raises(JobFileError) as caught:
        load_job(file, overrides)
    return caught.value.mistakes


def test_points_are_written_as_bit_widths_or_labels(file: Path) -> None:
    job = load_job(file).job
    assert [point.name for point in job.evaluate.operating_points] == ["5bit", "3bit", "w2a4"]
    assert job.evaluate.calibration_batches == 7
    assert job_from_dict(job.as_dict()) == job


def test_a_job_that_says_nothing_is_evaluated_as_trained(file: Path) -> None:
    file.write_text(JOB.partition("evaluate:")[0])
    assert load_job(file).job.evaluate.points == ()


def test_each_point_that_cannot_be_judged_is_named_in_a_line_of_its_own(file: Path) -> None:
    lines = refused(file, "evaluate.points=[8, 7, 4, 3, 3]")
    assert [line.partition("evaluate.points: ")[2] for line in lines] == [
        "8bit is above the highest trained bit-width, 6; weights can lose bits, not gain them.",
        "7bit is above the highest trained bit-width, 6; weights can lose bits, not gain them.",
        "4bit is trained, and so evaluated anyway; remove it.",
        "3bit is listed 2 times; once is enough.",
    ]


def test_mistakes_have_the_line_of_the_list(file: Path) -> None:
    file.write_text(JOB.replace("[5,", "[6,"))
    (line,) = refused(file)
    assert line.startswith(f"{file}:9  evaluate.points: 6bit is trained")


@pytest.mark.parametrize("value", ["[9]", "[5.0]", "[true]", "[five]", "[[5]]"])
def test_what_is_no_precision_is_refused_with_what_one_looks_like(file: Path, value: str) -> None:
    (line,) = refused(file, f"evaluate.points={value}")
    assert "evaluate.points.0: " in line
    assert "a precision is written 4, w1a4 or float" in line or "bit-widths are 1 to 8" in line
    assert "True" not in line


def test_a_float_network_has_no_bit_width_to_start_from(file: Path) -> None:
    lines = refused(file, "method={name: float}")
    assert ["evaluate.points" in line and "float" in line for line in lines] == [True]


def test_activations_that_stayed_float_in_training_have_no_clip_level_to_start_from(
    file: Path,
) -> None:
    float_activations = "quantizer.bit_widths=[w4a32, w2a32]"
    assert refused(file, float_activations, "evaluate.points=[3, w1a4]") == [
        f"--set  evaluate.points: {name} quantizes activations, and a network whose activations "
        f"stay float in training has no clip level to start from; give {instead} instead."
        for name, instead in (("3bit", "w3a32"), ("w1a4", "w1a32"))
    ]
    assert load_job(file, [float_activations, "evaluate.points=[w3a32]"]).job.evaluate.points
    some = ["quantizer.bit_widths=[w4a32, 4]", "evaluate.points=[3, w3a32]"]
    assert len(load_job(file, some).job.evaluate.points) == 2


def test_individual_runs_of_a_job_are_evaluated_as_trained(file: Path) -> None:
    jobs = [loaded.job for loaded in load_each_bit_width(file)]
    assert [job.evaluate.points for job in jobs] == [(), (), ()]


def test_bit_widths_of_the_last_phase_alone_are_evaluated_anyway(file: Path) -> None:
    phases = "phases=[{quantizer: {bit_widths: [6, 2]}}, {quantizer: {bit_widths: [4, 3]}}]"
    job = load_job(file, [phases, "evaluate.points=[5, 1]"]).job
    assert [point.name for point in job.evaluate.operating_points] == ["5bit", "1bit"]
    assert load_job(file, [phases, "evaluate.points=[6, 2]"]).job.evaluate.points == (6, 2)
    assert refused(file, phases, "evaluate.points=[7, 3]") == [
        "--set  evaluate.points: 7bit is above the highest trained bit-width, 6; weights can lose "
        "bits, not gain them.",
        "--set  evaluate.points: 3bit is trained, and so evaluated anyway; remove it.",
    ]


def test_other_points_are_no_other_training(file: Path) -> None:
    old, new = (load_job(file, [f"evaluate.points={p}"]).job for p in ("[5]", "[3, 5]"))
    assert differences(old.as_dict(), new.as_dict()) == []


def test_only_whole_networks_at_one_precision_are_started_from() -> None:
    mixed = OperatingPoint("mixed", Precision(4, 4), (("conv1", Precision(8, 8)),))
    assert uniform([OperatingPoint.at(6), mixed, OperatingPoint.at("w1a4")]) == [(6, 6), (1, 4)]
    assert len(list(mistakes(Evaluate(points=(3, 2)), [mixed], [mixed]))) == 1
    assert list(mistakes(Evaluate(), [mixed], [mixed])) == []


def test_a_precision_that_only_an_assignment_uses_is_not_trained(file: Path) -> None:
    mix = "quantizer.assignment={mix: {default: 4, layer1.0.conv1: 5}}"
    assert load_job(file, [mix, "evaluate.points=[5]"]).job.evaluate.points == (5,)


@pytest.mark.parametrize("value", ["float", "w32a4"])
def test_float_weights_are_refused_as_what_they_are(file: Path, value: str) -> None:
    assert refused(file, f"evaluate.points=[{value}]") == [
        f"--set  evaluate.points: {value} has float weights, and the network is evaluated with "
        "quantized ones; expected are bit-widths below 6."
    ]


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("{precisions: [6, 3]}", "3bit is not trained by the last phase; it trains 6bit, 4bit"),
        ("{precisions: [6, 6, 2]}", "6bit is listed 2 times; once is enough."),
        ("{precisions: [6]}", "random needs two or more bit-widths to draw from"),
    ],
)
def test_random_precisions_are_those_of_the_last_phase(
    file: Path, override: str, problem: str
) -> None:
    (line,) = refused(file, f"evaluate.random={override}")
    assert "evaluate.random.precisions: " in line
    assert problem in line


def test_a_point_that_is_another_by_a_second_name_is_drawn_once(file: Path) -> None:
    again = "quantizer.assignment={again: {default: 4}}"
    job = load_job(file, [again, "evaluate.random={}"]).job
    assert job.evaluate.random is not None
    drawn = drawn_from(job.evaluate.random, job.points)
    assert sorted(drawn) == sorted({point.precision for point in job.points})


def test_a_point_that_is_called_random_is_refused_beside_random_precisions(file: Path) -> None:
    named = "quantizer.assignment={random: {default: 4, layer1.0.conv1: 2}}"
    load_job(file, [named])
    assert "a point is called 'random'" in refused(file, named, "evaluate.random={}")[0]
    for passes in (0, 101):
        (line,) = refused(file, f"evaluate.random={{passes: {passes}}}")
        assert "evaluate.random.passes: " in line
