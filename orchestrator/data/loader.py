"""Batches of a data set for each rank: order, loading in worker processes, broken samples.

A training sample depends on the seed, the epoch and its number only, and its place in the epoch
on seed and epoch: neither the number of ranks or worker processes nor a resume changes a batch.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from orchestrator.data import Dataset
from orchestrator.data.images import BrokenImage
from orchestrator.errors import DataError, UsageError
from orchestrator.plan.batch import BatchPlan
from video import BrokenVideo

MAX_REPLACEMENTS = 16  # samples to try for one place in a training batch

# Purposes of random numbers; they keep the streams of one seed apart.
ORDER, SAMPLE = 0, 1


@dataclass(frozen=True)
class LoadedBatch:
    """Samples of one rank, each uint8, with what went wrong while loading them.

    inputs: (samples, *sample_shape). labels, indices: int64 (samples,). valid: bool (samples,),
    False where the input is blank because the sample is broken (evaluation only).
    broken: (source, reason) of every sample that could not be loaded; in training another one
    takes its place.
    """

    inputs: Tensor
    labels: Tensor
    indices: Tensor
    valid: Tensor
    broken: list[tuple[str, str]]

    def pin_memory(self) -> "LoadedBatch":
        """Return the batch with what a device gets in pinned memory; called by the data loader."""
        return replace(self, inputs=self.inputs.pin_memory(), labels=self.labels.pin_memory())


def steps_per_epoch(num_samples: int, global_batch: int) -> int:
    """Return the number of whole global batches; the rest is left out of the epoch.

    Raises UsageError when there is not even one.
    """
    if num_samples < global_batch:
        raise UsageError(
            f"The training set has {num_samples} samples, fewer than one global batch of "
            f"{global_batch}: set training.global_batch to at most {num_samples}."
        )
    return num_samples // global_batch


def train_batches(
    dataset: Dataset,
    plan: BatchPlan,
    *,
    rank: int,
    seed: int,
    epoch: int,
    start_step: int = 0,
    num_workers: int = 0,
    pin: bool = False,
) -> Iterator[Iterator[LoadedBatch]]:
    """Yield, for each step of the epoch from start_step, the passes of one rank of the plan.

    num_workers: loader processes of this rank. pin: load into pinned memory, which a GPU needs to
    fetch a batch while the host goes on.
    A broken sample is replaced by the next one, in the order of the epoch, that can be loaded.
    Passes of a step that were not taken when the next step is asked for are skipped.
    Raises DataError when MAX_REPLACEMENTS samples in a row are broken.
    """
    steps = range(start_step, steps_per_epoch(len(dataset), plan.global_batch))
    passes = [
        range(start, start + plan.micro_batch)
        for step in steps
        for start in _starts(plan, step, rank)
    ]
    loader = _load(_TrainBatches(dataset, seed, epoch), passes, num_workers, pin=pin)
    for _ in steps:
        micro = map(_unless_exhausted, islice(loader, plan.accumulation))
        yield micro
        for _skipped in micro:
            pass


def eval_batches(
    dataset: Dataset,
    *,
    batch: int,
    rank: int,
    world: int,
    num_workers: int = 0,
    pin: bool = False,
) -> Iterator[LoadedBatch]:
    """Yield the samples rank, rank + world, ... so that all ranks see each sample exactly once.

    num_workers, pin: as for training. The last batch may be smaller. Ranks may get different
    numbers of batches, or none.
    A broken sample keeps its place with a blank input and valid False.
    """
    mine = range(rank, len(dataset), world)
    batches = [mine[start : start + batch] for start in range(0, len(mine), batch)]
    yield from _load(_EvalBatches(dataset), batches, num_workers, pin=pin)


def epoch_order(num_samples: int, *, seed: int, epoch: int) -> Tensor:
    """Return the order of an epoch: a permutation of the samples, int64 (num_samples,)."""
    return torch.from_numpy(_generator(ORDER, seed, epoch).permutation(num_samples))


def _starts(plan: BatchPlan, step: int, rank: int) -> range:
    """Return the places in the epoch at which a rank's passes of a step begin."""
    first = step * plan.global_batch + rank * plan.per_worker
    return range(first, first + plan.per_worker, plan.micro_batch)


def _generator(*key: int) -> np.random.Generator:
    return np.random.default_rng(key)


def _unless_exhausted(batch: "LoadedBatch | _Exhausted") -> LoadedBatch:
    if isinstance(batch, _Exhausted):
        raise DataError(batch.message)
    return batch


@dataclass(frozen=True)
class _Exhausted:
    """Stands in for a batch, so that the error leaves a worker process without its traceback."""

    message: str


@dataclass(frozen=True)
class _Sample:
    """A loaded sample and the broken ones that were tried before it."""

    inputs: Tensor
    index: int
    valid: bool
    broken: list[tuple[str, str]]


class _TrainBatches(TorchDataset["LoadedBatch | _Exhausted"]):
    """Training samples by their places in the order of an epoch, a batch at a time."""

    def __init__(self, dataset: Dataset, seed: int, epoch: int) -> None:
        self._dataset = dataset
        self._key = (SAMPLE, seed, epoch)
        self._order = epoch_order(len(dataset), seed=seed, epoch=epoch)

    def __getitem__(self, places: Sequence[int]) -> "LoadedBatch | _Exhausted":
        samples = []
        for place in places:
            sample = self._sample(place)
            if isinstance(sample, _Exhausted):
                return sample
            samples.append(sample)
        return _collate(self._dataset, samples)

    def _sample(self, place: int) -> "_Sample | _Exhausted":
        own_index = int(self._order[place])
        broken: list[tuple[str, str]] = []
        for attempt in range(MAX_REPLACEMENTS):
            index = int(self._order[(place + attempt) % len(self._order)])
            generator = _generator(*self._key, own_index, attempt)
            try:
                inputs = self._dataset.load(index, generator)
            except (BrokenImage, BrokenVideo) as error:
                broken.append((self._dataset.source(index), error.reason))
            else:
                return _Sample(inputs, index, True, broken)
        last, reason = broken[-1]
        return _Exhausted(
            f"{MAX_REPLACEMENTS} samples in a row cannot be loaded, the last one {last}: {reason}. "
            "Check that the data set is complete and can be read."
        )


class _EvalBatches(TorchDataset[LoadedBatch]):
    """Evaluation samples by number, a batch at a time."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def __getitem__(self, indices: Sequence[int]) -> LoadedBatch:
        return _collate(self._dataset, [self._sample(index) for index in indices])

    def _sample(self, index: int) -> _Sample:
        try:
            return _Sample(self._dataset.load(index, None), index, True, [])
        except (BrokenImage, BrokenVideo) as error:
            blank = torch.zeros(self._dataset.sample_shape, dtype=torch.uint8)
            return _Sample(blank, index, False, [(self._dataset.source(index), error.reason)])


def _collate(dataset: Dataset, samples: Sequence[_Sample]) -> LoadedBatch:
    return LoadedBatch(
        inputs=torch.stack([sample.inputs for sample in samples]),
        labels=torch.tensor([dataset.label(sample.index) for sample in samples]),
        indices=torch.tensor([sample.index for sample in samples]),
        valid=torch.tensor([sample.valid for sample in samples]),
        broken=[reason for sample in samples for reason in sample.broken],
    )


Item = TypeVar("Item")


def _load(
    dataset: TorchDataset[Item], batches: Sequence[Sequence[int]], num_workers: int, *, pin: bool
) -> Iterator[Item]:
    """Load dataset[batch] for each batch, in order, in num_workers forked processes or in this one.

    The loader draws the seed of its workers from a generator of its own: the global one is part
    of a checkpoint and must not depend on how often an epoch was begun.
    """
    return iter(
        DataLoader(
            dataset,
            batch_size=None,
            sampler=batches,
            collate_fn=_as_is,
            num_workers=num_workers,
            multiprocessing_context="fork" if num_workers and sys.platform == "linux" else None,
            generator=torch.Generator(),
            pin_memory=pin,
        )
    )


def _as_is(item: Item) -> Item:
    return item
