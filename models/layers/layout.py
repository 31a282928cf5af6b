"""What the operating points of a network share, and what each has of its own."""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from models.precision import FLOAT, Precision


@dataclass(frozen=True)
class Layout:
    """What a method asks of the network that it trains.

    norm: one set of batch norm for all, one for each precision (AdaBits), or one for each pair of
        a layer's precision and that of the layer before it (Bit-Mixer).
    clip: one clip level of each quantizer for all, or one for each precision.
    stem_bits, head_bits: bit-width of the weights of the first convolution and of the linear
        layer at every operating point; float by default. The linear layer's inputs are quantized
        at the point's precision if its weights are; the network's own inputs never are.
    """

    norm: Literal["shared", "switchable", "transitional"] = "switchable"
    clip: Literal["shared", "switchable"] = "switchable"
    stem_bits: int = FLOAT
    head_bits: int = FLOAT

    def __post_init__(self) -> None:
        """Raise ValueError for bit-widths that are not 1 to 8, or 32 (float)."""
        for bits in (self.stem_bits, self.head_bits):
            Precision.parse(bits)


@runtime_checkable
class Switched(Protocol):
    """A module that has something of its own for each precision: batch norm, clip levels, steps."""

    def begin(self, precision: Precision, source: Precision) -> None:
        """Begin a precision with what another one has, in the place of its own if it has some."""
