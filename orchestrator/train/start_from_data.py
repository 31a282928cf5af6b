"""The start of a phase: initial values that quantizers of activations take from training data."""

from collections.abc import Iterable

import torch
from torch import Tensor

from models.networks.base import AnyBitNetwork
from models.precision import OperatingPoint
from models.quantizers.base import ActivationQuantizer
from orchestrator.data.loader import train_batches
from orchestrator.plan.batch import BatchPlan
from orchestrator.train.phase import Phase
from orchestrator.train.ranks import Ranks
from orchestrator.train.setup import Parts


def start_from_data(phase: Phase, parts: Parts, plan: BatchPlan, ranks: Ranks) -> None:
    """Give quantizers that wait for data their initial values for the points of a phase.

    Rank 0 runs the first pass of the phase's training set at each point, high to low, and the other
    ranks take what it found. Whatever already has a value keeps it. Where nothing waits, nothing
    is read and nothing is run; batch norm and random generators stay as they are in any case.
    """
    waiting = [quantizer for quantizer in parts.network.activations() if quantizer.waits_for_data]
    if not waiting:
        return
    if ranks.is_first:
        _run(parts.network, phase.job.points, _first_inputs(phase, parts, plan, ranks))
    _take_from_first(waiting, ranks)


def _first_inputs(phase: Phase, parts: Parts, plan: BatchPlan, ranks: Ranks) -> Tensor:
    """Return the inputs of rank 0's first pass of a phase."""
    steps = train_batches(
        parts.train_set, plan, rank=0, seed=phase.job.seed, epoch=phase.epochs_before
    )
    return next(next(steps)).inputs.to(ranks.device)


@torch.no_grad()
def _run(network: AnyBitNetwork, points: Iterable[OperatingPoint], inputs: Tensor) -> None:
    """Run a batch at each point as in training, so that quantizers start, layer by layer."""
    devices = [inputs.device] if inputs.is_cuda else []
    was_training = network.training
    network.train()
    with (
        torch.random.fork_rng(devices),
        network.frozen_statistics(),
        network.starting_from_data(),
    ):
        for point in points:
            network(inputs, point)
    network.train(was_training)


@torch.no_grad()
def _take_from_first(quantizers: Iterable[ActivationQuantizer], ranks: Ranks) -> None:
    """Make the quantizers' parameters and statistics those of rank 0."""
    own = [t for one in quantizers for t in (*one.parameters(), *one.buffers())]
    given = torch.cat([tensor.flatten() for tensor in own])
    first = ranks.sum(given if ranks.is_first else torch.zeros_like(given))
    for tensor, value in zip(own, torch.split(first, [t.numel() for t in own]), strict=True):
        tensor.copy_(value.view_as(tensor))
