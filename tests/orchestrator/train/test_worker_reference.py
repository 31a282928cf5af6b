"""Two workers from start to end, against the same training and evaluation written again."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from orchestrator.data import Dataset
from orchestrator.data.loader import train_batches
from orchestrator.job.schema import Job
from orchestrator.plan.batch import plan_batch
from orchestrator.store.checkpoint import with_manifest
from orchestrator.store.disk import DiskFolder
from orchestrator.store.run_folder import Reached, RunFolder
from orchestrator.track import keys
from orchestrator.train.ranks import Ranks
from orchestrator.train.state import TrainState
from orchestrator.train.worker import Run, Worker
from tests.orchestrator.train.reference import Given, Reference, StepRecord, near, recipe_of
from tests.orchestrator.train.thread_ranks import Meeting

EPOCHS, STEPS, WORLD, MICRO = 3, 3, 2, 2
SHARES = {
    keys.teacher_share(student, teacher)
    for student in ("4bit", "2bit")
    for teacher in ("8bit", "4bit")
}

JOB = (
    "seed=11",
    "quantizer.bit_widths=[8, 4, 2]",
    "model.depths=[1, 2]",
    "data.crop=8",
    "data.resize=8",
    "quantizer.activations.clip_init=1",
    "optimizer.momentum=0.8",
    "method.lambda=0.02",
    f"training.epochs={EPOCHS}",
    "cluster.max_batch_per_worker=2",
    "training.arithmetic=float",
)
"""On the 24 pictures: 3 steps of 8 = 2 workers x 2 per pass x 2 passes; in float64 as the reference
is."""


@pytest.fixture
def _float64() -> Iterator[None]:
    """Everything that a worker makes has 64 bits."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@dataclass
class Committing:
    """What a worker asks of whatever runs it, and its recorder."""

    folder: Path
    ranks: Ranks
    recorded: list[Mapping[str, float]] = field(default_factory=list)
    checkpoints: list[Path] = field(default_factory=list)

    def latest(self) -> None:
        return None

    def log(self, step: int, epoch: int, metrics: Mapping[str, float]) -> None:
        self.recorded.append(metrics)

    def commit(self, contents: Mapping[str, bytes], at: Reached) -> None:
        name = f"checkpoint-{len(self.checkpoints)}"
        DiskFolder(self.folder).put(name, with_manifest(contents))
        self.checkpoints.append(self.folder / name)


@dataclass
class Written:
    """The reference after a run: its steps, its state and metrics at the end of each epoch."""

    reference: Reference
    records: list[list[StepRecord]] = field(default_factory=list)
    weights: list[dict[str, Tensor]] = field(default_factory=list)
    metrics: list[dict[str, float]] = field(default_factory=list)


def written_again(job: Job, worker: Worker) -> Written:
    """Train and evaluate with the reference from the weights that the worker starts with."""
    parts = worker.parts
    recipe = recipe_of(job, STEPS, parts.train_set.mean, parts.train_set.std)
    written = Written(Reference(recipe, parts.network.state_dict(), WORLD))
    reference = written.reference
    for epoch in range(EPOCHS):
        steps = zip(*(batches(job, parts.train_set, epoch, rank) for rank in range(2)), strict=True)
        records = [reference.step(epoch, index, given) for index, given in enumerate(steps)]
        reference.share_statistics()
        parameters = {name: p.detach().clone() for name, p in reference.parameters.items()}
        written.weights.append(parameters | dict(reference.statistics[0]))
        written.records.append(records)
        written.metrics.append(metrics_of(reference, records, parts.val_set, epoch))
    return written


def batches(job: Job, dataset: Dataset, epoch: int, rank: int) -> list[list[Given]]:
    """The passes of one rank's steps in an epoch, as the loader's own tests check them."""
    plan = plan_batch(job.training.global_batch, WORLD, MICRO)
    steps = train_batches(dataset, plan, rank=rank, seed=job.seed, epoch=epoch)
    return [[(batch.inputs, batch.labels) for batch in step] for step in steps]


def metrics_of(
    reference: Reference, records: list[StepRecord], val_set: Dataset, epoch: int
) -> dict[str, float]:
    """What is to be recorded of an epoch."""
    samples = [(val_set.load(i, None), torch.tensor(val_set.label(i))) for i in range(len(val_set))]
    recipe, factor = reference.recipe, reference.schedule(epoch)
    metrics = {
        keys.learning_rate("weight"): recipe.lr / len(recipe.bits) * factor,
        keys.learning_rate("bias"): recipe.lr / len(recipe.bits) * factor,
        keys.learning_rate("norm"): recipe.lr * factor,
        keys.learning_rate("clip"): recipe.clip_lr * factor,
    }
    for bits in recipe.bits:
        every = [one for r in records for own in r.losses for one in own[bits]]
        metrics[keys.loss(f"{bits}bit")] = sum(every) / len(every)
        top1, loss = reference.evaluate(samples, bits)
        metrics |= {keys.metric("top1", f"{bits}bit"): top1, keys.val_loss(f"{bits}bit"): loss}
        levels = [
            p.item() for n, p in reference.parameters.items() if f"clip_levels.{bits}bit" in n
        ]
        metrics[keys.clip_level(f"{bits}bit", "min")] = min(levels)
        metrics[keys.clip_level(f"{bits}bit", "mean")] = sum(levels) / len(levels)
    teachers = [record.teachers for record in records]
    for student in recipe.bits[1:]:
        for teacher in {chosen[student] for chosen in teachers}:
            share = sum(chosen[student] == teacher for chosen in teachers) / len(teachers)
            metrics[keys.teacher_share(f"{student}bit", f"{teacher}bit")] = share
    return metrics


@pytest.mark.usefixtures("_float64")
def test_two_workers_train_and_evaluate_like_the_reference(
    tiny_job: Callable[..., Job], tmp_path: Path
) -> None:
    job, meeting = tiny_job(*JOB), Meeting(WORLD)
    contexts = [Committing(tmp_path, ranks) for ranks in meeting.ranks()]
    workers = [Worker(job, Run(RunFolder(tmp_path)), context) for context in contexts]
    workers[0].recorder = contexts[0]  # type: ignore[assignment]
    written = written_again(job, workers[0])
    meeting.run([worker.run for worker in workers])
    for found, metrics in zip(contexts[0].recorded, written.metrics, strict=True):
        recorded = {key: found[key] for key in found.keys() & (metrics.keys() | SHARES)}
        assert recorded == pytest.approx(metrics, abs=1e-9)
    _same_weights(contexts[0].checkpoints, written.weights)
    _same_result(tmp_path, written.metrics[-1], [point.name for point in job.points])
    assert len({metrics[keys.metric("top1", "8bit")] for metrics in written.metrics}) > 1


def _same_weights(checkpoints: list[Path], weights: list[dict[str, Tensor]]) -> None:
    """A checkpoint holds the averaged statistics once the epoch has been evaluated."""
    after_evaluation = [folder for folder in checkpoints if TrainState.read(folder).at.step == 0]
    for folder, wanted in zip(after_evaluation, weights, strict=True):
        found = load_file(folder / "model.safetensors")
        for name, value in wanted.items():
            near(found[name], value, f"{name} in {folder.name}")


def _same_result(folder: Path, metrics: dict[str, float], points: list[str]) -> None:
    rows = json.loads((folder / "result.json").read_text())["rows"]
    assert [row["point"] for row in rows] == points
    for row in rows:
        assert row["metric"] == pytest.approx(metrics[keys.metric("top1", row["point"])])
