"""One pass over the training set: the loop that every method trains in."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from models.methods.base import Batch, Method, Step
from models.networks.base import AnyBitNetwork
from models.networks.sharing import sharing
from orchestrator.data.loader import LoadedBatch
from orchestrator.errors import Diverged
from orchestrator.train.gradients import Gradients, gradients_of
from orchestrator.train.optimizers import set_rates
from orchestrator.train.position import Position
from orchestrator.train.ranks import Ranks
from orchestrator.train.tally import Tally


@dataclass(frozen=True)
class Loop:
    """What stays the same from step to step.

    schedule: the factor of all learning rates at a position.
    targets: what methods learn from, in place of the labels of a batch.
    phase: its number, from 0; epochs: of it; epochs_before: of all phases before it.
    """

    network: AnyBitNetwork
    method: Method
    optimizer: torch.optim.Optimizer
    schedule: Callable[[Position], float]
    targets: Callable[[Tensor], Tensor]
    ranks: Ranks
    seed: int
    phase: int
    epochs_before: int
    epochs: int
    steps_per_epoch: int

    @cached_property
    def gradients(self) -> Gradients:
        """The gradients of everything that is trained."""
        return gradients_of(self.trained, self.ranks)

    @property
    def trained(self) -> list[Tensor]:
        """What is trained, in the order in which backward passes complete it: last layers first."""
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        weights = [layer.weight for layer in self.network.convolutions()]
        return list(dict.fromkeys([*weights[::-1], *trained]))


def train_epoch(
    loop: Loop,
    steps: Iterable[Iterable[LoadedBatch]],
    tally: Tally,
    *,
    epoch: int,
    first_step: int,
    wants_stop: Callable[[], bool],
    after_step: Callable[[int], None],
) -> bool:
    """Train on each step's batches; return True when a rank asked to stop.

    steps: for each optimizer step from `first_step` on, its batches, one after another.
    epoch: of the phase. after_step: called with the number of steps of this epoch that are done.
    """
    loop.network.train()
    for index, loaded in enumerate(steps, start=first_step):
        stop = train_step(loop, loaded, tally, epoch=epoch, index=index, wants_stop=wants_stop)
        after_step(index + 1)
        if stop:
            return True
    return False


def train_step(
    loop: Loop,
    loaded: Iterable[LoadedBatch],
    tally: Tally,
    *,
    epoch: int,
    index: int,
    wants_stop: Callable[[], bool],
) -> bool:
    """Take one step of the optimizer; return whether a rank asked to stop.

    loaded: its batches. epoch: of the phase. index: of the step in its epoch.
    """
    network, optimizer = loop.network, loop.optimizer
    inputs, labels = _load(loop, loaded, tally)
    step = _step(loop, epoch, index)
    optimizer.zero_grad(set_to_none=True)
    passes = loop.method.passes
    with sharing(network, inputs, passes=passes) as shared:
        batches = list(map(Batch, shared, labels))
        last = passes * len(batches)
        losses = loop.method.losses(network, batches, step)
        for number, (point, loss, teacher) in enumerate(losses, start=1):
            if number == last:
                loop.gradients.begin_last_backward(network)
            torch.autograd.backward(loss / len(batches))
            tally.add(point, loss, teacher)
    stop = _average(loop, tally, stop=wants_stop())
    here = Position(loop.phase, epoch, index, loop.epochs, loop.steps_per_epoch)
    set_rates(optimizer, loop.schedule(here))
    optimizer.step()
    return stop


def _load(
    loop: Loop, loaded: Iterable[LoadedBatch], tally: Tally
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the inputs of this rank's batches of a step, and what to learn, on its device."""
    device = loop.ranks.device
    inputs, labels = [], []
    began = time.monotonic()
    for batch in loaded:
        tally.waited += time.monotonic() - began
        inputs.append(batch.inputs.to(device, non_blocking=True))
        labels.append(loop.targets(batch.labels.to(device, non_blocking=True)))
        tally.samples += len(batch.labels) * loop.ranks.world
        tally.broken |= dict(batch.broken)
        began = time.monotonic()
    return inputs, labels


def _average(loop: Loop, tally: Tally, *, stop: bool) -> bool:
    """Average the gradients. Raises Diverged, on every rank, with the points that are lost."""
    try:
        return loop.gradients.average(stop=stop, loss=tally.total_loss())
    except Diverged:
        tally.check_finite(loop.ranks)
        raise


def _step(loop: Loop, epoch: int, index: int) -> Step:
    return Step(
        seed=loop.seed,
        index=(loop.epochs_before + epoch) * loop.steps_per_epoch + index,
        epoch=epoch,
        epochs=loop.epochs,
        progress=(epoch + index / loop.steps_per_epoch) / loop.epochs,
        sum_over_ranks=loop.ranks.sum,
    )
