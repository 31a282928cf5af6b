"""What one bit-width for all could not say: w1a4, a bit-width for each layer, learned steps."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from models.precision import Precision
from orchestrator.job.schema import Job
from orchestrator.prepare.build import build_network
from orchestrator.prepare.start import start
from orchestrator.store.run_folder import RunFolder
from orchestrator.train.worker import Run, Worker


def train(job: Job, context: Any) -> None:
    Worker(job, Run(RunFolder(context.folder)), context).run()


def results(context: Any) -> list[str]:
    rows = json.loads((context.folder / "result.json").read_text())["rows"]
    return [row["point"] for row in rows]


def test_weights_and_activations_of_different_bit_widths_train(
    tiny_job: Callable[..., Job], folder_context: Any, tmp_path: Any
) -> None:
    job = tiny_job("quantizer.bit_widths=[w8a4, w1a4]", "training.epochs=1")
    context = folder_context(tmp_path)
    train(job, context)
    assert results(context) == ["w8a4", "w1a4"]
    trained = load_file(context.latest() / "model.safetensors")
    assert {"layer1.0.bn1.w1a4.weight", "layer1.0.act1.clip_levels.w8a4"} <= trained.keys()
    network = build_network(job, 3)
    network.load_state_dict(trained)
    layer = network.get_submodule("layer2.0.conv1")
    assert len(layer.weight_at(1).unique()) == 2
    assert len(layer.weight_at(8).unique()) > 16


def test_a_bit_width_for_each_layer_is_trained_as_it_is_given(
    tiny_job: Callable[..., Job], folder_context: Any, tmp_path: Any
) -> None:
    assignment = "quantizer.assignment={mixed: {default: 2, layer1.0.conv1: 8, layer2.0.conv2: 4}}"
    job = tiny_job("quantizer.bit_widths=[8, 4]", assignment, "training.epochs=1")
    context = folder_context(tmp_path)
    train(job, context)
    assert results(context) == ["8bit", "4bit", "mixed"]
    network = build_network(job, 3)
    network.load_state_dict(load_file(context.latest() / "model.safetensors"))
    (mixed,) = (point for point in job.points if point.name == "mixed")
    names = [info.name for info in network.quantized_layers]
    own = dict(zip(names, network.assignment(mixed).layers, strict=True))
    others = own.keys() - {"layer1.0.conv1", "layer2.0.conv2"}
    assert (own["layer1.0.conv1"], own["layer2.0.conv2"]) == (Precision(8, 8), Precision(4, 4))
    assert {own[name] for name in others} == {Precision(2, 2)}
    seen: dict[str, int] = {}
    for name in names:
        layer = network.get_submodule(name)
        layer.register_forward_pre_hook(
            lambda _, args, name=name: seen.update({name: len(args[0].unique())})
        )
    network.eval()(torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8), mixed)
    assert all(seen[name] <= 4 for name in others)
    assert 4 < seen["layer2.0.conv2"] <= 16 < seen["layer1.0.conv1"]


def test_learned_steps_train_and_resume_bit_for_bit(
    tiny_job: Callable[..., Job], folder_context: Any, tmp_path: Any
) -> None:
    job = tiny_job("quantizer.weights={name: lsq_floor}", "checkpoint.every_steps=1")
    whole, halves = (folder_context(tmp_path / name) for name in ("whole", "halves"))
    for context in (whole, halves):
        context.folder.mkdir()
    train(job, whole)
    stop = halves.folder / "stop"
    stop.touch()
    train(job, halves)
    stop.unlink()
    first = load_file(halves.latest() / "model.safetensors")
    train(job, halves)
    expected, found = (load_file(c.latest() / "model.safetensors") for c in (whole, halves))
    assert all(torch.equal(expected[name], value) for name, value in found.items())
    steps = [name for name in found if ".quantizer.steps." in name]
    assert len(steps) == 5 * 4
    assert all(not torch.equal(first[name], found[name]) for name in steps)


def test_steps_of_a_bit_width_that_another_run_did_not_train_start_from_its_weights(
    tiny_job: Callable[..., Job], folder_context: Any, tmp_path: Any
) -> None:
    lsq = "quantizer.weights={name: lsq_floor}"
    context = folder_context(tmp_path)
    train(tiny_job(lsq, "quantizer.bit_widths=[8, 4]", "training.epochs=1"), context)
    checkpoint = f"start={{from: checkpoint, weights: {context.latest()}}}"
    job = tiny_job(lsq, "quantizer.bit_widths=[8, 2]", checkpoint)
    network = build_network(job, 3)
    start(network, job)
    trained = load_file(context.latest() / "model.safetensors")
    layer = network.get_submodule("layer2.0.conv1")
    steps = {name: step.item() for name, step in layer.quantizer.steps.items()}
    assert steps["8bit"] == trained["layer2.0.conv1.quantizer.steps.8bit"].item()
    assert steps["2bit"] == pytest.approx(2 * layer.weight.abs().mean().item())
    assert torch.equal(layer.weight, trained["layer2.0.conv1.weight"])


def test_a_run_of_learned_steps_is_a_start_for_other_activations(
    tiny_job: Callable[..., Job], folder_context: Any, tmp_path: Any
) -> None:
    lsq = "quantizer.weights={name: lsq_floor}"
    context = folder_context(tmp_path)
    train(tiny_job(lsq, "quantizer.bit_widths=[8, 4]", "training.epochs=1"), context)
    checkpoint = f"start={{from: checkpoint, weights: {context.latest()}}}"
    job = tiny_job(lsq, "quantizer.bit_widths=[w8a4, w4a8]", checkpoint)
    network = build_network(job, 3)
    start(network, job)
    trained = load_file(context.latest() / "model.safetensors")
    steps = network.get_submodule("layer2.0.conv1").quantizer.steps
    for name in ("8bit", "4bit"):
        assert torch.equal(steps[name], trained[f"layer2.0.conv1.quantizer.steps.{name}"])
