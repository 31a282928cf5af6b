"""Batch norm: one set of parameters and running statistics, one for each precision, or for each
transition from one precision to another."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from itertools import permutations, product
from typing import Protocol

import torch
from torch import Tensor, nn

from models.precision import LayerPrecision, Precision


class SwitchableBatchNorm2d(nn.ModuleDict):
    """One nn.BatchNorm2d for each precision, of which each call uses one (AdaBits).

    The sets are named by their precision: `bn1.8bit.weight`, `bn1.w1a4.weight`, ...
    """

    def __init__(self, channels: int, precisions: Sequence[Precision]) -> None:
        super().__init__({own.key: nn.BatchNorm2d(channels) for own in precisions})

    def sets_of(self, precisions: Iterable[Precision]) -> list[nn.BatchNorm2d]:
        """Return the sets that layers of these precisions use."""
        keys = {own.key for own in precisions}
        sets = (norm for name, norm in self.items() if self.own_key(name) in keys)
        return [norm for norm in sets if isinstance(norm, nn.BatchNorm2d)]

    def own_key(self, name: str) -> str:
        """Return the key of the layer's own precision from the name of a set."""
        return name

    def begin(self, precision: Precision, source: Precision) -> None:
        """Begin a precision's set as a copy of another one's."""
        self.copy_set(source.key, precision.key)

    def copy_set(self, source: str, name: str) -> None:
        """Copy a set to the place of another one, or to a new name.

        In place where there is one, because the optimizer holds its parameters.
        """
        if name in self:
            self[name].load_state_dict(self[source].state_dict())
        else:
            self[name] = deepcopy(self[source])

    def at(self, at: LayerPrecision) -> nn.BatchNorm2d:
        """Return the set of the layer's precision."""
        norm = self[at.own.key]
        assert isinstance(norm, nn.BatchNorm2d)
        return norm

    def forward(self, inputs: Tensor, at: LayerPrecision) -> Tensor:
        """Normalize (batch, channels, height, width) with the set of the layer."""
        output: Tensor = self.at(at)(inputs)
        return output


class TransitionalBatchNorm2d(SwitchableBatchNorm2d):
    """One set for each pair of precisions: the preceding layer's, and the layer's own (Bit-Mixer).

    The sets are named `bn1.4bit_to_2bit.weight`, ...
    """

    def __init__(self, channels: int, precisions: Sequence[Precision]) -> None:
        nn.ModuleDict.__init__(
            self,
            {
                self.set_name(LayerPrecision(own, previous)): nn.BatchNorm2d(channels)
                for previous in precisions
                for own in precisions
            },
        )

    @staticmethod
    def set_name(at: LayerPrecision) -> str:
        """Return the name of the set that a layer uses."""
        return f"{at.previous.key}_to_{at.own.key}"

    def own_key(self, name: str) -> str:
        """Return the key of the layer's own precision from the name of a set."""
        return name.rpartition("_to_")[2]

    def begin(self, precision: Precision, source: Precision) -> None:
        """Begin the sets of every transition from and to a precision as copies of another one's."""
        for name in list(self):
            ends = name.split("_to_")
            if precision.key in ends:
                continue
            choices = [(end, precision.key) if end == source.key else (end,) for end in ends]
            for changed in product(*choices):
                if list(changed) != ends:
                    self.copy_set(name, "_to_".join(changed))

    def start_unequal_pairs(self, precisions: Sequence[Precision]) -> None:
        """Copy the set (j, j), statistics included, to each set (i, j) that has not run yet."""
        for previous, own in permutations(precisions, 2):
            name = self.set_name(LayerPrecision(own, previous))
            if not self[name].num_batches_tracked:
                self.copy_set(self.set_name(LayerPrecision(own, own)), name)

    def at(self, at: LayerPrecision) -> nn.BatchNorm2d:
        """Return the set of the transition."""
        norm = self[self.set_name(at)]
        assert isinstance(norm, nn.BatchNorm2d)
        return norm


class SharedBatchNorm2d(nn.BatchNorm2d):
    """One set for all precisions; takes a precision like a switchable one and ignores it."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def at(self, at: LayerPrecision) -> nn.BatchNorm2d:
        """Return itself."""
        return self

    def forward(self, inputs: Tensor, at: LayerPrecision | None = None) -> Tensor:
        """Normalize (batch, channels, height, width)."""
        return super().forward(inputs)


Norm = SharedBatchNorm2d | SwitchableBatchNorm2d
"""Batch norm that takes the precision of its layer."""


@dataclass(frozen=True)
class BatchStatistics:
    """Mean and unbiased variance (channels,) of a batch, found once for several passes over it."""

    norm: SharedBatchNorm2d
    mean: Tensor
    variance: Tensor

    @torch.no_grad()
    def count_pass(self) -> None:
        """Update the running statistics as a pass does, unless they are left alone for a while."""
        norm = self.norm
        if not norm.track_running_stats:
            return
        norm.num_batches_tracked.add_(1)
        norm.running_mean.lerp_(self.mean, norm.momentum)
        norm.running_var.lerp_(self.variance, norm.momentum)


@contextmanager
def measure(norm: SharedBatchNorm2d) -> Iterator[BatchStatistics]:
    """Yield what a training pass through `norm` is to find; the running statistics stay.

    The pass is run within, in training mode.
    """
    mean, variance = torch.zeros_like(norm.running_mean), torch.zeros_like(norm.running_var)
    found = BatchStatistics(norm, mean, variance)
    within = {
        "running_mean": found.mean,
        "running_var": found.variance,
        "num_batches_tracked": torch.zeros_like(norm.num_batches_tracked),
        "momentum": 1.0,  # all of the batch, nothing of before
        "track_running_stats": True,
    }
    before = {name: getattr(norm, name) for name in within}
    try:
        for name, value in within.items():
            setattr(norm, name, value)
        yield found
    finally:
        for name, value in before.items():
            setattr(norm, name, value)


class Running(Protocol):
    """What a training pass gives running statistics: batch norm, a quantizer's range."""

    track_running_stats: bool


@contextmanager
def keep_statistics(norms: Iterable[Running]) -> Iterator[None]:
    """Leave the running statistics of `norms` alone for a while.

    In training mode they still normalize with the statistics of the batch, in evaluation mode
    still with the running ones: `track_running_stats` decides in nn.BatchNorm2d only whether a
    training pass writes them.
    """
    tracking = [norm for norm in norms if norm.track_running_stats]
    try:
        for norm in tracking:
            norm.track_running_stats = False
        yield
    finally:
        for norm in tracking:
            norm.track_running_stats = True
