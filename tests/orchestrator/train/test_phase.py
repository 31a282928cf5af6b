"""Several phases in one run: what is fresh in each, what goes on, and where a stop leaves it."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from models.methods.base import Batch, Pass, Step
from models.methods.individual import Individual
from models.networks.base import AnyBitNetwork
from orchestrator.errors import CheckpointMismatch
from orchestrator.job.schema import Job
from orchestrator.prepare.build import build_network
from orchestrator.store.run_folder import Reached, RunFolder
from orchestrator.train.state import TrainState
from orchestrator.train.worker import Worker

PHASES = (
    "phases=[{quantizer: {bit_widths: [8, 4]}}, "
    "{quantizer: {bit_widths: [4, 2]}, method: {p1: 0.2}, "
    "training: {epochs: 2}, optimizer: {name: adam, lr: 0.01}}]"
)
"""On 24 pictures: 1 epoch of 3 steps, then 2 epochs."""

DESCENDING = (
    "method={name: individual}",
    "quantizer.bit_widths=[8]",
    "phases=[{}, {quantizer: {bit_widths: [4]}}]",
)

GoOn = Callable[..., Any]


@pytest.fixture
def two_phases(tiny_job: Callable[..., Job]) -> Job:
    return tiny_job("training.epochs=1", "model.dropout=0.5", PHASES)


def weights(worker: Worker) -> dict[str, torch.Tensor]:
    folder = worker.context.latest()
    assert folder is not None
    return load_file(folder / "model.safetensors")


def result_in(folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result | {"run_dir": ""}


def test_a_run_that_is_stopped_after_every_step_ends_with_the_same_weights_to_the_last_bit(
    two_phases: Job, run: GoOn, tmp_path: Path
) -> None:
    undisturbed = run(two_phases, "undisturbed")
    folder = RunFolder(tmp_path / "stopped")
    folder.make()
    reached = []
    for _ in range(8):
        folder.ask_to_stop()
        reached.append(run(two_phases, "stopped").at)
    folder.withdraw_stop()
    expected, found = weights(undisturbed), weights(run(two_phases, "stopped"))
    assert (
        reached
        == [Reached(0, 0, n) for n in (1, 2, 3)]
        + [Reached(1, epoch, n) for epoch in (0, 1) for n in (1, 2, 3)][:5]
    )
    assert expected.keys() == found.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    results = [result_in(tmp_path / name) for name in ("undisturbed", "stopped")]
    assert results[0] == results[1]
    assert [row["point"] for row in results[0]["rows"]] == ["4bit", "2bit"]
    assert (results[0]["epoch"], results[0]["step"]) == (2, 9)


def test_a_phase_trains_its_own_points_and_leaves_those_of_others_alone(
    two_phases: Job, run: GoOn
) -> None:
    worker = run(two_phases)
    drawn = build_network(two_phases, 3).state_dict()
    folders = sorted(worker.context.folder.glob("checkpoint-*"))
    states = {
        TrainState.read(folder).at: load_file(folder / "model.safetensors") for folder in folders
    }
    first, second = states[Reached(1, 0, 0)], states[Reached(1, 2, 0)]

    def changed(before: Any, after: Any, part: str) -> bool:
        names = [name for name in after if part in name and after[name].is_floating_point()]
        assert names
        return any(not torch.equal(before[name], after[name]) for name in names)

    assert changed(drawn, first, ".8bit")
    assert not changed(first, second, ".8bit")
    assert not changed(drawn, first, ".2bit")
    assert changed(first, second, ".2bit")
    assert changed(drawn, first, ".4bit")
    assert changed(first, second, ".4bit")


def test_a_phase_has_a_fresh_optimizer_and_goes_through_its_schedule_from_the_start(
    two_phases: Job, run: GoOn
) -> None:
    worker = run(two_phases)
    assert isinstance(worker.phase.optimizer, torch.optim.Adam)
    steps = [state["step"].item() for state in worker.phase.optimizer.state.values()]
    assert max(steps) == 6
    rates = [r["training/lr_norm"] for r in worker.context.reports]
    assert rates == pytest.approx([0.05, 0.01, 0.005])


def test_samples_go_on_and_steps_are_counted_over_the_whole_run(
    two_phases: Job, run: GoOn, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.train import worker as module

    epochs: list[int] = []
    real = module.train_batches

    def noting(*given: Any, epoch: int, **others: Any) -> Any:
        epochs.append(epoch)
        return real(*given, epoch=epoch, **others)

    monkeypatch.setattr(module, "train_batches", noting)
    run(two_phases)
    assert epochs == [0, 1, 2]


class Noting(Individual):
    """Records the position of every call."""

    seen: list[tuple[str, int, int, int]]
    started: list[tuple[str, ...]]

    def start_phase(self, network: AnyBitNetwork) -> None:
        self.started.append(tuple(point.name for point in self.points))

    def losses(
        self, network: AnyBitNetwork, batches: Sequence[Batch], step: Step
    ) -> Iterator[Pass]:
        self.seen.append((self.points[0].name, step.index, step.epoch, step.epochs))
        yield from super().losses(network, batches, step)


@pytest.fixture
def noting(monkeypatch: pytest.MonkeyPatch) -> type[Noting]:
    Noting.seen, Noting.started = [], []
    monkeypatch.setattr("models.methods.individual.Individual", Noting)
    return Noting


def test_a_descending_schedule_trains_at_8_bits_and_then_at_4(
    tiny_job: Callable[..., Job], run: GoOn, noting: type[Noting]
) -> None:
    worker = run(tiny_job(*DESCENDING, "training.epochs=2"))
    assert noting.started == [("8bit",), ("4bit",)]
    assert noting.seen == [
        (point, 6 * phase + 3 * epoch + step, epoch, 2)
        for phase, point in enumerate(("8bit", "4bit"))
        for epoch in range(2)
        for step in range(3)
    ]
    result = result_in(worker.context.folder)
    assert [row["point"] for row in result["rows"]] == ["4bit"]


def test_a_phase_is_started_once_however_often_the_run_is_stopped_in_it(
    tiny_job: Callable[..., Job], run: GoOn, noting: type[Noting], tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.make()
    folder.ask_to_stop()
    for _ in range(6):
        run(tiny_job(*DESCENDING, "training.epochs=1"))
    assert noting.started == [("8bit",), ("4bit",)]


class Learning(Individual):
    """Learns the weight of its loss."""

    def __init__(self, settings: Any, points: Any) -> None:
        super().__init__(settings, points)
        self.share = nn.Parameter(torch.tensor(0.7))

    def losses(
        self, network: AnyBitNetwork, batches: Sequence[Batch], step: Step
    ) -> Iterator[Pass]:
        for one in super().losses(network, batches, step):
            yield one._replace(loss=one.loss * self.share)


def test_what_a_method_learns_goes_on_after_a_stop(
    tiny_job: Callable[..., Job], run: GoOn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.methods.individual.Individual", Learning)
    job = tiny_job(*DESCENDING, "training.epochs=1")
    folder = RunFolder(tmp_path / "stopped")
    folder.make()
    folder.ask_to_stop()
    for _ in range(5):
        stopped = run(job, "stopped").phase.method
    folder.withdraw_stop()
    ended = [run(job, name).phase.method.share.item() for name in ("whole", "stopped")]
    assert ended[0] == ended[1] != stopped.share.item() != 0.7


def test_the_log_and_the_events_say_which_phase_it_is(
    two_phases: Job, run: GoOn, capsys: pytest.CaptureFixture[str]
) -> None:
    run(two_phases)
    said = capsys.readouterr().out
    assert "Phase 1/2: coquant at 8bit, 4bit." in said
    assert "Phase 2/2: coquant at 4bit, 2bit." in said
    lines = [json.loads(line.partition("::orch ")[2]) for line in said.splitlines()]
    evaluated = [line for line in lines if line["event"] == "evaluated"]
    places = [(e["phase"], e["phases"], e["epoch"], e["epochs"]) for e in evaluated]
    assert places == [(0, 2, 0, 1), (1, 2, 0, 2), (1, 2, 1, 2)]


def test_the_best_epoch_is_the_best_of_the_last_phase(
    tiny_job: Callable[..., Job], run: GoOn
) -> None:
    job = tiny_job("training.epochs=2", "checkpoint.select=best", "phases=[{}, {}]")
    worker = run(job)
    sums = [
        sum(report[f"top1/{bits}bit"] for bits in (8, 6, 4, 2)) for report in worker.context.reports
    ]
    best = 2 + max(range(2), key=lambda epoch: sums[2 + epoch])
    assert result_in(worker.context.folder)["epoch"] == best
    assert [kept.name for kept in worker.folder.best()] == [f"best-epoch-{best + 1:04d}"]


def test_a_run_does_not_go_on_with_other_phases(
    tiny_job: Callable[..., Job], run: GoOn, two_phases: Job
) -> None:
    run(two_phases)
    changed = PHASES.replace("lr: 0.01", "lr: 0.02")
    with pytest.raises(CheckpointMismatch, match=r"phases\.2\.optimizer\.lr: 0.01 -> 0.02"):
        run(tiny_job("training.epochs=1", "model.dropout=0.5", changed))
