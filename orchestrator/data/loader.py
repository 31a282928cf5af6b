"""Batches of a data set for each rank: their order, and what takes the place of broken samples.

A training sample depends on the seed, the epoch and its number only, and its place in the epoch
on seed and epoch: neither the number of ranks or loaders nor a resume changes a batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from orchestrator.data import Dataset
from orchestrator.data.ahead import Filled, Loaded, Loaders, Wanted
from orchestrator.errors import DataError, UsageError
from orchestrator.plan.batch import BatchPlan

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
    loaders: Loaders | None = None,
) -> Iterator[Iterator[LoadedBatch]]:
    """Yield, for each step of the epoch from start_step, the passes of one rank of the plan.

    loaders: load ahead of use; without them a pass is loaded when it is asked for.
    A broken sample is replaced by the next one, in the order of the epoch, that can be loaded.
    Passes of a step that were not taken when the next step is asked for are skipped.
    Raises DataError when MAX_REPLACEMENTS samples in a row are broken.
    """
    order = epoch_order(len(dataset), seed=seed, epoch=epoch)
    steps = range(start_step, steps_per_epoch(len(dataset), plan.global_batch))
    wanted = (
        [
            _wanted(order, place, (SAMPLE, seed, epoch))
            for place in range(start, start + plan.micro_batch)
        ]
        for step in steps
        for start in _starts(plan, step, rank)
    )
    filled = (loaders or Loaders()).batches(dataset, wanted)
    for _ in steps:
        passes = (_trained(dataset, one) for one in islice(filled, plan.accumulation))
        yield passes
        for _skipped in passes:
            pass


def eval_batches(
    dataset: Dataset, *, batch: int, rank: int, world: int, loaders: Loaders | None = None
) -> Iterator[LoadedBatch]:
    """Yield the samples rank, rank + world, ... so that all ranks see each sample exactly once.

    loaders: as for training. The last batch may be smaller. Ranks may get different numbers of
    batches, or none.
    A broken sample keeps its place with a blank input and valid False.
    """
    mine = [Wanted((index,)) for index in range(rank, len(dataset), world)]
    wanted = (mine[start : start + batch] for start in range(0, len(mine), batch))
    for inputs, loaded in (loaders or Loaders()).batches(dataset, wanted):
        yield _batch(dataset, inputs, loaded)


def epoch_order(num_samples: int, *, seed: int, epoch: int) -> Tensor:
    """Return the order of an epoch: a permutation of the samples, int64 (num_samples,)."""
    return torch.from_numpy(np.random.default_rng((ORDER, seed, epoch)).permutation(num_samples))


def _wanted(order: Tensor, place: int, key: tuple[int, ...]) -> Wanted:
    """Return the sample of a place in the epoch, and those that may take its place."""
    places = (torch.arange(MAX_REPLACEMENTS) + place) % len(order)
    return Wanted(order[places].tolist(), key)


def _starts(plan: BatchPlan, step: int, rank: int) -> range:
    """Return the places in the epoch at which a rank's passes of a step begin."""
    first = step * plan.global_batch + rank * plan.per_worker
    return range(first, first + plan.per_worker, plan.micro_batch)


def _trained(dataset: Dataset, filled: Filled) -> LoadedBatch:
    inputs, loaded = filled
    for one in loaded:
        if not one.valid:
            last, reason = one.broken[-1]
            raise DataError(
                f"{MAX_REPLACEMENTS} samples in a row cannot be loaded, the last one {last}: "
                f"{reason}. Check that the data set is complete and can be read."
            )
    return _batch(dataset, inputs, loaded)


def _batch(dataset: Dataset, inputs: Tensor, loaded: Sequence[Loaded]) -> LoadedBatch:
    pinned = inputs.is_pinned()
    labels = torch.tensor([dataset.label(one.index) for one in loaded], pin_memory=pinned)
    return LoadedBatch(
        inputs=inputs,
        labels=labels,
        indices=torch.tensor([one.index for one in loaded]),
        valid=torch.tensor([one.valid for one in loaded]),
        broken=[reason for one in loaded for reason in one.broken],
    )
