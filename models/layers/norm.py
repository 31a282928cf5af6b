"""Batch norm with one set of parameters and running statistics for each bit-width."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn


class SwitchableBatchNorm2d(nn.ModuleDict):
    """One nn.BatchNorm2d per bit-width, of which each call uses one (AdaBits, section 3).

    The sets are named by their bit-width: `bn1.8.weight`, `bn1.6.weight`, ...
    """

    def __init__(self, channels: int, bit_widths: Sequence[int]) -> None:
        super().__init__({str(bits): nn.BatchNorm2d(channels) for bits in bit_widths})

    def set(self, bits: int) -> nn.BatchNorm2d:
        """Return the set of one bit-width."""
        norm = self[str(bits)]
        assert isinstance(norm, nn.BatchNorm2d)
        return norm

    def forward(self, inputs: Tensor, bits: int) -> Tensor:
        """Normalize (batch, channels, height, width) with the set of `bits`."""
        output: Tensor = self[str(bits)](inputs)
        return output


class SharedBatchNorm2d(nn.BatchNorm2d):
    """One set for all bit-widths; takes a bit-width like a switchable one and ignores it."""

    def forward(self, inputs: Tensor, bits: int) -> Tensor:  # type: ignore[override]
        """Normalize (batch, channels, height, width)."""
        return super().forward(inputs)


@contextmanager
def keep_statistics(norms: Iterable[nn.BatchNorm2d]) -> Iterator[None]:
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
