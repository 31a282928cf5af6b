"""Layers and parameters that a job names, and its network does not have."""

from pathlib import Path

import pytest

from orchestrator.errors import JobFileError
from orchestrator.job.load import load_job
from orchestrator.job.network import blank_network

GOOD = """
name: mine
model: {name: resnet18_cifar}
data: {name: cifar10, root: data}
method: {name: coquant}
optimizer: {lr: 5e-2}
training: {epochs: 3, global_batch: 128}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "mine.yaml"
    file.write_text(GOOD)
    return file


def warnings(file: Path, *overrides: str) -> list[str]:
    return load_job(file, overrides).warnings


def test_an_unknown_layer_of_an_assignment_is_named_with_its_line_and_a_similar_one(
    file: Path,
) -> None:
    mixed = "quantizer:\n  assignment:\n    mixed:\n      default: 4\n      layer1.0.conv9: 8\n"
    file.write_text(GOOD + mixed)
    with pytest.raises(JobFileError) as caught:
        load_job(file)
    [line] = caught.value.mistakes
    place = f"{file}:12  quantizer.assignment.mixed.layer1.0.conv9: "
    assert line.startswith(f"{place}the network has no such layer. Did you mean 'layer1.0.conv")
    assert "Known: layer1.0.conv1, layer1.0.conv2, layer1.1.conv1" in line
    file.write_text(GOOD + mixed.replace("conv9", "conv1"))
    assert len(load_job(file).job.points) == 5


def test_layers_are_those_of_the_jobs_own_network_also_in_phases(file: Path) -> None:
    phases = ["model.depths=[1, 1, 1, 1]", "phases=[{training: {epochs: 1}}]"]
    known = "quantizer.assignment={mixed: {default: 4, layer4.0.conv1: 8}}"
    assert len(load_job(file, [*phases, known]).job.points) == 5
    with pytest.raises(JobFileError, match="no such layer"):
        load_job(file, [*phases, known.replace("layer4.0", "layer4.1")])


def test_1_bit_activations_of_a_quantizer_that_needs_their_signs_are_refused_behind_a_relu(
    file: Path,
) -> None:
    lsq = "quantizer.activations={name: lsq_floor}"
    for one_bit in ("quantizer.bit_widths=[4, 1]", "evaluate.points=[1]"):
        with pytest.raises(JobFileError) as caught:
            load_job(file, [lsq, one_bit])
        [line] = caught.value.mistakes
        assert line.startswith("--set  quantizer.activations: 1-bit activations of lsq_floor")
        assert "(pre-activation), more bits for activations" in line
    for fine in ("quantizer.bit_widths=[4, w1a2]", "model.name=resnet18_preact_cifar"):
        load_job(file, [lsq, "quantizer.bit_widths=[4, 1]", fine])


def test_a_blank_network_holds_no_numbers(file: Path) -> None:
    network = blank_network(load_job(file).job)
    assert {parameter.device.type for parameter in network.parameters()} == {"meta"}


@pytest.mark.parametrize("role", ["depthwise", "step", "method"])
def test_settings_of_parameters_that_nothing_has_are_warned_about(file: Path, role: str) -> None:
    assert warnings(file, f"optimizer.{role}={{lr: 0.1}}") == [
        f"optimizer.{role}: no effect, neither the network nor the method has such parameters."
    ]


@pytest.mark.parametrize(
    ("role", "override"),
    [
        ("depthwise", "model={name: mobilenet_v2_cifar}"),
        ("step", "quantizer.weights={name: lsq_floor}"),
        ("norm", "seed=1"),
        ("bias", "seed=1"),
    ],
)
def test_settings_of_parameters_that_something_has_are_not(
    file: Path, role: str, override: str
) -> None:
    assert warnings(file, override, f"optimizer.{role}={{lr: 0.1}}") == []


LSQ = "quantizer.activations={name: lsq_floor}"
CLIPS = "quantizer.activations.clip_start=data"
INIT = "quantizer.activations.clip_init"
MEAN = "evaluate.zero_shot_source"
SHOTS = "evaluate.points=[3]"
SIGNED = "quantizer.activations.signed_inputs=relu"


@pytest.mark.parametrize(
    ("overrides", "found"),
    [
        (
            [LSQ, "optimizer.clip.lr=0.2"],
            "optimizer.clip.lr: no effect, 'lsq_floor' activations ha",
        ),
        (["optimizer.clip.lr=0.2"], ""),
        ([CLIPS, f"{INIT}=4"], f"{INIT}: no effect, clip levels start from data"),
        ([f"{INIT}=4"], ""),
        ([SIGNED], "quantizer.activations.signed_inputs: no effect, the network has no signed in"),
        (["model={name: mobilenet_v2_cifar}", SIGNED], ""),
        ([f"{MEAN}=mean"], f"{MEAN}: no effect, evaluate.points is empty."),
        ([SHOTS, LSQ, f"{MEAN}=mean"], f"{MEAN}: mean is as high, 'lsq_floor' activations have no"),
        ([SHOTS, LSQ, f"{MEAN}=low"], ""),
        ([SHOTS, f"{MEAN}=mean"], ""),
    ],
)
def test_settings_that_the_activations_have_no_use_for_are_warned_about_in_any_order(
    file: Path, overrides: list[str], found: str
) -> None:
    for given in (overrides, overrides[::-1]):
        lines = warnings(file, *given)
        assert len(lines) == bool(found)
        assert all(line.startswith(found) for line in lines)


@pytest.mark.parametrize(
    ("extended", "override"),
    [
        ("lr: 5e-2, clip: {lr: 0.2}}", LSQ),
        ("lr: 5e-2}\nquantizer: {activations: {clip_init: 4}}", CLIPS),
        ("lr: 5e-2}\nquantizer: {activations: {signed_inputs: relu}}", "model.name=resnet18_cifar"),
    ],
)
def test_settings_of_a_file_that_is_extended_were_meant_for_other_activations(
    file: Path, extended: str, override: str
) -> None:
    file.write_text(GOOD.replace("optimizer: {lr: 5e-2}", f"optimizer: {{{extended}"))
    assert warnings(file, override) == []


def test_a_float_network_has_no_use_for_settings_of_quantizers(tmp_path: Path) -> None:
    file = tmp_path / "float.yaml"
    file.write_text(GOOD.replace("coquant", "float"))
    given = {
        "quantizer.bit_widths": "[8, 4]",
        "quantizer.assignment": "{mix: {default: 4}}",
        "quantizer.activations.clip_init": "4",
        "quantizer.activations.head_clip_init": "10",
        "quantizer.stem_bits": "8",
        "optimizer.clip.lr": "0.1",
        "training.arithmetic": "auto",
    }
    found = warnings(file, *(f"{key}={value}" for key, value in given.items()))
    assert sorted(found) == sorted(
        f"{key}: no effect, the method 'float' quantizes nothing."
        for key in {**given, "quantizer.assignment.mix.default": ""}
        if key != "quantizer.assignment"
    )


def test_float_weights_that_are_clamped_are_a_use_for_their_quantizer(file: Path) -> None:
    clamped = ("method={name: float}", "quantizer.weights.name=adabits")
    flag = "quantizer.weights.clamp_float"
    assert warnings(file, *clamped, f"{flag}=true") == []
    assert len(warnings(file, "training.arithmetic=auto", "method={name: float}")) == 1
    said = "no effect, the method 'float' quantizes nothing."
    assert warnings(file, *clamped, f"{flag}=false") == [
        f"{key}: {said}" for key in ("quantizer.weights.name", flag)
    ]


def test_a_clip_level_of_the_linear_layer_takes_one_that_is_quantized(file: Path) -> None:
    own = "quantizer.activations.head_clip_init"
    said = f"{own}: no effect, the linear layer is float (quantizer.head_bits)."
    assert warnings(file, f"{own}=10") == [said]
    assert warnings(file, f"{own}=10", "quantizer.head_bits=8") == []


def test_a_job_that_becomes_a_float_one_need_not_take_back_what_it_extends(file: Path) -> None:
    file.write_text(GOOD + "quantizer: {bit_widths: [8, 4]}\n")
    assert warnings(file, "method={name: float}") == []


def test_a_layer_of_an_assignment_can_be_set_on_the_command_line(file: Path) -> None:
    file.write_text(GOOD + "quantizer: {assignment: {mix: {default: 4}}}\n")
    job = load_job(file, ["quantizer.assignment.mix.layer1.0.conv1=6"]).job
    assert job.quantizer.assignment["mix"] == {"default": 4, "layer1.0.conv1": 6}
    job = load_job(file, ["quantizer.assignment.mix.default=8"]).job
    assert job.quantizer.assignment["mix"] == {"default": 8}
