"""What the operating points of a network share, and what each has of its own."""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from models.precision import Precision


@dataclass(frozen=True)
class Layout:
    """What a method asks of the network that it trains.

    norm: one set of batch norm for all, one for each precision (AdaBits), or one for each pair of
        a layer's precision and that of the layer before it (Bit-Mixer).
    clip: one clip level of each quantizer for all, or one for each precision.
    """

    norm: Literal["shared", "switchable", "transitional"] = "switchable"
    clip: Literal["shared", "switchable"] = "switchable"


@runtime_checkable
class Switched(Protocol):
    """A module that has something of its own for each precision: batch norm, clip levels, steps."""

    def begin(self, precision: Precision, source: Precision) -> None:
        """Begin a precision with what another one has, in the place of its own if it has some."""
