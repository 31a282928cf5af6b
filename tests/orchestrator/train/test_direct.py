"""Trained weights evaluated as they are, by an ordinary worker."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from orchestrator.events import Evaluated, parse
from orchestrator.job.schema import Job
from orchestrator.track.delta_b import ReferenceResults
from orchestrator.train.worker import Worker
from orchestrator.wording import describe
from tests.orchestrator.train.results import finished

Run = Callable[..., Worker]
DIRECT = ("method={name: direct}", "training.epochs=0", "quantizer.bit_widths=[8, 6, 4, 2]")
POINTS = ["8bit", "6bit", "4bit", "2bit"]


@pytest.fixture
def individual(tiny_job: Callable[..., Job], run: Run) -> Path:
    """The checkpoint of a run at 8 bits."""
    alone = ("method={name: individual}", "quantizer.bit_widths=[8]", "training.epochs=1")
    return _checkpoint(run(tiny_job("cluster.max_batch_per_worker=4", *alone), "individual"))


def _checkpoint(worker: Worker) -> Path:
    found: Path = worker.context.latest()
    return found


def direct(tiny_job: Callable[..., Job], source: str, weights: Path, *more: str) -> Job:
    return tiny_job(*DIRECT, f"start={{from: {source}, weights: {weights}}}", *more)


def test_every_point_of_a_run_at_8_bits_has_its_batch_norm_and_clip_levels(
    tiny_job: Callable[..., Job], run: Run, individual: Path
) -> None:
    trained = load_file(individual / "model.safetensors")
    worker = run(direct(tiny_job, "checkpoint", individual))
    result = finished(worker)
    assert [row["point"] for row in result["rows"]] == POINTS
    assert len({row["loss"] for row in result["rows"]}) == 4
    assert [row["calibrated"] for row in result["rows"]] == [None] * 4
    for name, value in load_file(_checkpoint(worker) / "model.safetensors").items():
        parts = ["8bit" if part in POINTS else part for part in name.split(".")]
        assert torch.equal(value, trained[".".join(parts)]), name


@pytest.mark.parametrize("clip_start", ["fixed", "data"])
def test_a_float_model_keeps_its_batch_norm_and_gets_no_hidden_help(
    tiny_job: Callable[..., Job], run: Run, clip_start: str
) -> None:
    floating = run(tiny_job("method={name: float}", "training.epochs=1"), "float")
    trained = load_file(_checkpoint(floating) / "model.safetensors")
    clip = f"quantizer.activations.clip_start={clip_start}"
    job = direct(tiny_job, "float", _checkpoint(floating) / "model.safetensors", clip)
    worker = run(job)
    for name, value in load_file(_checkpoint(worker) / "model.safetensors").items():
        if ".clip_levels." in name:
            assert (value == 2) == (clip_start == "fixed"), name
            assert value > 0
        else:
            parts = [part for part in name.split(".") if part not in POINTS]
            assert torch.equal(value, trained[".".join(parts)]), name


def test_at_its_own_bit_width_a_run_has_the_result_that_it_had(
    tiny_job: Callable[..., Job], run: Run
) -> None:
    alone = ("method={name: individual}", "quantizer.bit_widths=[8]", "training.epochs=1")
    before = run(tiny_job(*alone), "individual")
    job = direct(tiny_job, "checkpoint", _checkpoint(before), "quantizer.bit_widths=[8, 2]")
    [own, _], [expected] = finished(run(job))["rows"], finished(before)["rows"]
    assert own == expected


def test_a_run_that_does_not_train_ends_as_others_do(
    tiny_job: Callable[..., Job],
    run: Run,
    individual: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reference = ReferenceResults("somewhere", "top1", dict.fromkeys(POINTS, 50.0))
    job = direct(tiny_job, "checkpoint", individual, "checkpoint.select=best")
    worker = run(job, reference=reference)
    result = finished(worker)
    assert (result["epoch"], result["step"]) == (-1, 0)
    assert "\n\nEpoch 0. Delta_B = " in result["table"]
    assert result["delta_b"] == pytest.approx(sum(2 * r["metric"] for r in result["rows"]) / 4)
    [recorded] = worker.context.reports
    assert (recorded["step"], recorded["epoch"]) == (0, 0)
    assert {f"top1/{point}" for point in POINTS} | {"delta_b"} <= recorded.keys()
    assert not [key for key in recorded if key.startswith(("loss/", "training/lr", "training/s"))]
    said = [event for line in capsys.readouterr().out.splitlines() if (event := parse(line))]
    [evaluated] = [event for event in said[-2:] if isinstance(event, Evaluated)]
    assert (evaluated.epoch, evaluated.epochs) == (-1, 0)
    assert describe(evaluated)[0].startswith("epoch 0: top1 8bit ")


@pytest.mark.parametrize("when", ["calibration", "evaluation"])
def test_a_run_that_is_killed_before_its_end_begins_again(
    tiny_job: Callable[..., Job],
    run: Run,
    individual: Path,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
) -> None:
    job = direct(tiny_job, "checkpoint", individual, "method.calibrate=true")
    undisturbed = run(job, "undisturbed")

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    name = {"calibration": "calibrate_in_place", "evaluation": "evaluate"}[when]
    with monkeypatch.context() as patched:
        patched.setattr(f"orchestrator.train.worker.{name}", killed)
        with pytest.raises(KeyboardInterrupt):
            run(job, "killed")
    again = run(job, "killed")
    results = [finished(worker) | {"run_dir": ""} for worker in (undisturbed, again)]
    assert results[0] == results[1]
    assert run(job, "killed").at == again.at


def test_calibrated_statistics_are_those_of_training_batches_at_each_point(
    tiny_job: Callable[..., Job], run: Run, individual: Path
) -> None:
    """Of the first quantized layer, from its outputs for the same batches."""
    job = direct(
        tiny_job,
        "checkpoint",
        individual,
        "method.calibrate=true",
        "evaluate.calibration_batches=1",
    )
    worker = run(job)
    network, seen = worker.parts.network, dict[str, Tensor]()
    for point in POINTS:
        norm = network.get_submodule(f"layer1.0.bn1.{point}")
        norm.register_forward_hook(
            lambda _, given, out, point=point: seen.update({point: given[0].detach()})
        )
    [inputs] = list(worker_inputs(worker))
    network.train()
    with torch.no_grad(), network.frozen_statistics():
        for point in POINTS:
            network(inputs, point)
    for point in POINTS:
        norm = network.get_submodule(f"layer1.0.bn1.{point}")
        assert isinstance(norm, nn.BatchNorm2d)
        columns = seen[point].transpose(0, 1).flatten(1)
        torch.testing.assert_close(norm.running_mean, columns.mean(dim=1))
        torch.testing.assert_close(norm.running_var, columns.var(dim=1))


def worker_inputs(worker: Worker) -> list[Tensor]:
    """The first global batch of the training set, as a run without epochs sees it."""
    from orchestrator.train.zero_shot import _inputs

    return list(_inputs(worker.job, worker.parts, worker.plan, worker.ranks))
