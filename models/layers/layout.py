"""What the operating points of a network share, and what each has for itself."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Layout:
    """What a method asks of the network that it trains.

    norm: one set of batch norm for all, one for each precision (AdaBits), or one for each pair of
        a layer's precision and that of the layer before it (Bit-Mixer).
    clip: one clip level of each quantizer for all, or one for each precision.
    """

    norm: Literal["shared", "switchable", "transitional"] = "switchable"
    clip: Literal["shared", "switchable"] = "switchable"
