"""A whole run in this process: training, results, checkpoints, stop and resume."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from orchestrator.errors import CheckpointMismatch, DataError, Diverged
from orchestrator.job.schema import Job
from orchestrator.prepare.build import build_network
from orchestrator.search.records import How
from orchestrator.store.run_folder import Reached, RunFolder
from orchestrator.train.state import TrainState
from orchestrator.train.worker import Run, Worker

TWO = "quantizer.bit_widths=[8, 2]"
"""For what is the same at any number of bit-widths."""


def weights(context: Any) -> dict[str, torch.Tensor]:
    return load_file(context.latest() / "model.safetensors")


def test_a_run_ends_with_a_result_at_every_bit_width(
    tiny_job: Callable[..., Job], run: Callable[..., Any]
) -> None:
    context = run(tiny_job()).context
    result = json.loads((context.folder / "result.json").read_text())
    assert [row["point"] for row in result["rows"]] == ["8bit", "6bit", "4bit", "2bit"]
    assert all(0 <= row["metric"] <= 100 for row in result["rows"])
    assert [report["epoch"] for report in context.reports] == [1, 2]
    first = context.reports[0]
    expected = {"train_loss/8bit", "top1/2bit", "weights/clip_level/4bit_min", "training/lr_weight"}
    assert expected <= set(first)
    shares = [v for key, v in first.items() if key.startswith("training/teacher_share/2bit/")]
    assert sum(shares) == pytest.approx(1.0)


def test_metrics_stand_at_the_optimizer_steps_of_the_weights_they_judge(
    tiny_job: Callable[..., Job], tmp_path: Path, folder_context: Any
) -> None:
    recorded: list[tuple[int, int, dict[str, float]]] = []

    class Recorder:
        def log(self, step: int, epoch: int, metrics: dict[str, float]) -> None:
            recorded.append((step, epoch, metrics))

    job = tiny_job(TWO, "checkpoint.select=best", "evaluate.points=[7]", "training.epochs=3")
    worker = Worker(job, Run(RunFolder(tmp_path)), folder_context(tmp_path))
    worker.recorder = Recorder()  # type: ignore[assignment]
    worker.run()
    *epochs, zero_shot = recorded
    assert [(step, epoch) for step, epoch, _ in epochs] == [(3, 1), (6, 2), (9, 3)]
    assert all("top1/8bit" in metrics for _, _, metrics in epochs)
    chosen = json.loads((tmp_path / "result.json").read_text())
    assert zero_shot[:2] == (chosen["step"], chosen["epoch"] + 1)
    assert "top1/7bit" in zero_shot[2]


@pytest.mark.parametrize(
    "optimizer",
    [
        ("optimizer.nesterov=true", "cluster.max_batch_per_worker=4"),
        ("optimizer.name=adamw", "optimizer.lr=0.01"),
    ],
    ids=["nesterov in two passes", "adamw"],
)
def test_a_stopped_run_goes_on_to_the_same_weights_to_the_last_bit(
    tiny_job: Callable[..., Job],
    run: Callable[..., Any],
    tmp_path: Path,
    optimizer: tuple[str, ...],
) -> None:
    own = ("quantizer.bit_widths=[8, 4, 2]", "model.dropout=0.5", "checkpoint.every_steps=2")
    job = tiny_job(*own, *optimizer)
    undisturbed = run(job, "undisturbed").context
    folder = tmp_path / "stopped"
    folder.mkdir()
    for _ in range(4):
        RunFolder(folder).ask_to_stop()
        stopped = run(job, "stopped").context
        assert not (folder / "result.json").exists()
    RunFolder(folder).withdraw_stop()
    resumed = run(job, "stopped").context
    expected, found = weights(undisturbed), weights(resumed)
    assert expected.keys() == found.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    for report, other in zip(undisturbed.reports[-1:], resumed.reports[-1:], strict=True):
        timed = {k for k in report if k.endswith(("_seconds", "_per_second", "data_share"))}
        assert {k: v for k, v in report.items() if k not in timed} == {
            k: v for k, v in other.items() if k not in timed
        }
    assert stopped.folder == resumed.folder


def test_rates_move_on_with_every_step_and_an_epoch_records_those_of_its_last(
    tiny_job: Callable[..., Job], run: Callable[..., Any]
) -> None:
    reports = run(tiny_job(TWO, "optimizer.schedule_per=step")).context.reports
    rates = [report["training/lr_norm"] for report in reports]
    factors = [(1 + math.cos(math.pi * step / 6)) / 2 for step in (2, 5)]
    assert rates == pytest.approx([0.05 * factor for factor in factors])


@pytest.mark.parametrize(
    ("method", "clips"),
    [
        ("joint", {"shared"}),
        ("switchable_bn", {"shared"}),
        ("adabits", {"8bit", "2bit"}),
        ("any_precision", {"8bit", "2bit"}),
    ],
)
def test_every_method_of_several_points_trains_to_its_table(
    tiny_job: Callable[..., Job], run: Callable[..., Any], method: str, clips: set[str]
) -> None:
    own = (f"method={{name: {method}}}", "quantizer.bit_widths=[8, 2]", "training.epochs=1")
    context = run(tiny_job(*own)).context
    [*_, last] = context.reports
    levels = {key.rpartition("/")[2] for key in last if key.startswith("weights/clip_level/")}
    assert levels == {f"{name}_{what}" for name in clips for what in ("min", "mean")}
    result = json.loads((context.folder / "result.json").read_text())
    assert [row["point"] for row in result["rows"]] == ["8bit", "2bit"]


def test_a_finished_run_that_is_run_again_trains_nothing(
    tiny_job: Callable[..., Job], run: Callable[..., Any]
) -> None:
    job = tiny_job(TWO, "training.epochs=1")
    before = weights(run(job).context)
    again = run(job).context
    assert again.reports == []
    assert all(torch.equal(weights(again)[name], value) for name, value in before.items())


def test_a_checkpoint_of_a_job_with_other_settings_is_refused_with_the_differences(
    tiny_job: Callable[..., Job], run: Callable[..., Any]
) -> None:
    run(tiny_job(TWO, "training.epochs=1"))
    with pytest.raises(CheckpointMismatch) as caught:
        run(tiny_job(TWO, "training.epochs=1", "optimizer.lr=0.07", "method.p1=0.6"))
    assert "optimizer.lr: 0.05 -> 0.07" in str(caught.value)
    assert "method.p1: 0.5 -> 0.6" in str(caught.value)


def test_the_individual_method_trains_one_bit_width(
    tiny_job: Callable[..., Job], run: Callable[..., Any]
) -> None:
    context = run(
        tiny_job("method={name: individual}", "quantizer.bit_widths=[4]", "training.epochs=1")
    ).context
    result = json.loads((context.folder / "result.json").read_text())
    assert [row["point"] for row in result["rows"]] == ["4bit"]


def test_mixed_precision_trains_and_keeps_float32_weights(
    tiny_job: Callable[..., Job], run: Callable[..., Any]
) -> None:
    context = run(tiny_job(TWO, "training.precision=bfloat16", "training.epochs=1")).context
    floating = {n: value for n, value in weights(context).items() if value.is_floating_point()}
    assert {v.dtype for n, v in floating.items() if "normalize" not in n} == {torch.float32}


def test_a_loss_that_is_not_finite_stops_the_run_with_a_reason(
    tiny_job: Callable[..., Job], run: Callable[..., Any]
) -> None:
    with pytest.raises(Diverged, match=r"no longer a finite number"):
        run(tiny_job("optimizer.lr=1e12", "optimizer.clip.lr=1e12"))


@pytest.fixture
def damaged(tmp_path: Path, pictures: Path) -> Path:
    """Return a copy of the pictures in which one to train on and one to evaluate on is damaged."""
    copy = tmp_path / "damaged"
    shutil.copytree(pictures, copy)
    for role in ("train", "val"):
        (copy / role / "red" / "0.jpg").write_bytes(b"not a picture")
    return copy


def test_a_broken_picture_is_replaced_counted_and_named(
    tiny_job: Callable[..., Job],
    run: Callable[..., Any],
    damaged: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    context = run(tiny_job(TWO, f"data.root={damaged}", "data.max_broken_share=0.2")).context
    assert context.reports[-1]["training/broken_samples"] == 1
    assert context.reports[-1]["validation/broken_samples"] == 1
    said = capsys.readouterr().out
    assert said.count("Replaced") == 1
    assert "red/0.jpg" in said


def test_too_many_broken_pictures_stop_the_run(
    tiny_job: Callable[..., Job], run: Callable[..., Any], damaged: Path
) -> None:
    with pytest.raises(DataError, match=r"1 of the 24 samples of the training set"):
        run(tiny_job(f"data.root={damaged}", "data.max_broken_share=0.01"))


def poison(worker: Worker, name: str, value: float) -> None:
    """Put a number that is none into a parameter, a running statistic or the momentum."""
    if name == "momentum":
        parameter = worker.parts.network.get_parameter("conv1.weight")
        worker.phase.optimizer.state[parameter]["momentum_buffer"].view(-1)[3] = value
    else:
        state = worker.parts.network.state_dict()
        next(state[key] for key in state if key.endswith(name)).view(-1)[1] = value


@pytest.fixture
def poisoned(
    tiny_job: Callable[..., Job], tmp_path: Path, folder_context: Any, monkeypatch: Any
) -> Callable[..., Any]:
    """Run a job until it diverges after a number of its steps; return its context and the error."""

    def go(name: str, value: float, after: int, *options: str, stop: bool = False) -> Any:
        context = folder_context(tmp_path)
        worker = Worker(tiny_job(*options), Run(RunFolder(tmp_path)), context)
        tell = worker.progress.tell

        def tell_then_poison(at: Reached, tally: Any) -> None:
            tell(at, tally)
            context.last_step = (at.epoch, at.step)
            if at.epoch * worker.steps + at.step == after:
                poison(worker, name, value)
                if stop:
                    RunFolder(tmp_path).ask_to_stop()

        monkeypatch.setattr(worker.progress, "tell", tell_then_poison)
        with pytest.raises(Diverged) as caught:
            worker.run()
        return context, str(caught.value)

    return go


def assert_finite(context: Any) -> TrainState:
    """Check that the last checkpoint is finite throughout; return its state."""
    state = TrainState.read(Path(context.latest()))
    momentum = [v["momentum_buffer"] for v in state.optimizer["state"].values()]
    statistics = [v for rank in state.ranks for v in rank.buffers.values()]
    kept = [*weights(context).values(), *momentum, *statistics]
    assert all(torch.isfinite(value).all() for value in kept if value.is_floating_point())
    return state


@pytest.mark.parametrize(
    ("name", "value"),
    [("conv1.weight", float("nan")), ("running_var", float("inf")), ("momentum", float("-inf"))],
)
def test_a_state_that_diverged_in_the_last_step_is_not_saved_and_fails_the_run(
    poisoned: Callable[..., Any], name: str, value: float
) -> None:
    context, message = poisoned(name, value, 6, TWO)
    assert "epoch 2, step 3" in message
    assert "optimizer.lr" in message
    assert assert_finite(context).at == Reached(0, 1, 0)
    assert not (context.folder / "result.json").exists()


def test_a_diverged_state_is_not_saved_for_a_stop_request_or_in_the_middle_of_an_epoch(
    poisoned: Callable[..., Any],
) -> None:
    context, _ = poisoned("running_var", float("inf"), 4, TWO, stop=True)
    assert assert_finite(context).at.epoch == 1


@pytest.mark.parametrize("arithmetic", ["float", "auto"])
def test_weights_that_diverge_are_noticed_in_the_next_step(
    poisoned: Callable[..., Any], arithmetic: str
) -> None:
    options = ("training.global_batch=2", f"training.arithmetic={arithmetic}")
    context, message = poisoned("conv1.weight", float("nan"), 13, *options)
    assert context.last_step == (1, 1)
    assert assert_finite(context).at.epoch == 1
    assert "at 8bit, 6bit, 4bit, 2bit is no longer a finite number" in message


def test_what_a_float_model_does_not_give_is_said_once(
    tiny_job: Callable[..., Job],
    run: Callable[..., Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    start = "start.from=float"
    file = tmp_path / "backbone.pth"
    network = build_network(tiny_job("quantizer.bit_widths=[8, 4]"), num_classes=3)
    names = {n: n.replace(".8bit.", ".") for n in network.state_dict() if ".4bit." not in n}
    backbone = {names[n]: v for n, v in network.state_dict().items() if n in names}
    torch.save({n: v for n, v in backbone.items() if "clip" not in n and "fc" not in n}, file)
    job = tiny_job(start, f"start.weights={file}", "training.epochs=1")
    for name in ("first", "first"):
        run(job, name)
    said = capsys.readouterr().out
    assert said.count("Not taken from the float model: fc.weight, fc.bias.") == 1


def test_a_resume_does_not_read_the_initial_weights_again(
    tiny_job: Callable[..., Job], run: Callable[..., Any], tmp_path: Path
) -> None:
    file = tmp_path / "float.pt"
    single = build_network(tiny_job("method={name: float}"), num_classes=3)
    torch.save(single.state_dict(), file)
    job = tiny_job(TWO, "start.from=float", f"start.weights={file}", "training.epochs=1")
    expected = weights(run(job, "undisturbed").context)
    folder = RunFolder(tmp_path / "stopped")
    folder.make()
    folder.ask_to_stop()
    run(job, "stopped")
    file.unlink()
    folder.withdraw_stop()
    found = weights(run(job, "stopped").context)
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_a_run_parks_after_an_epoch_and_goes_on_in_another_worker_as_if_it_had_not(
    tiny_job: Callable[..., Job], run: Callable[..., Any], tmp_path: Path, folder_context: Any
) -> None:
    job = tiny_job(TWO)
    whole = weights(run(job, "whole").context)
    folder = RunFolder(tmp_path / "parked")
    folder.make()
    context = folder_context(Path(folder.place))
    ends = [Worker(job, Run(folder), context).run(until) for until in (1, 1, None)]
    assert ends == [How.PARKED, How.PARKED, How.FINISHED]
    found = weights(context)
    assert all(torch.equal(found[name], value) for name, value in whole.items())
