"""At how many bits the layers of a network run: one layer, a whole network, and its name.

A name such as "8bit" or "w1a4" is the key of losses, results, metrics and tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

MAX_BITS = 8
FLOAT = 32
"""Stands for a bit-width where nothing is quantized."""

_BITS = "(?:0|[1-9][0-9]*)"
_LABEL = re.compile(
    rf"(?P<both>{_BITS})(?:bit)?|w(?P<weights>{_BITS})a(?P<activations>{_BITS})|float"
)


class Precision(NamedTuple):
    """The bit-widths of one layer's weights and of its input activations."""

    weights: int
    activations: int

    @property
    def label(self) -> str:
        """The name: "4bit" for equal bit-widths, "w1a4" for others, "float" where nothing is."""
        if self == (FLOAT, FLOAT):
            return "float"
        if self.weights == self.activations:
            return f"{self.weights}bit"
        return f"w{self.weights}a{self.activations}"

    @property
    def key(self) -> str:
        """The name of its parameters in a state dict: the label, but "32bit" for "float".

        A torch module cannot have a child that is called like its method `float`.
        """
        return f"{FLOAT}bit" if self == (FLOAT, FLOAT) else self.label

    @classmethod
    def parse(cls, text: str | int) -> Precision:
        """Return the precision that 4, "4", "4bit", "w1a4" or "float" names.

        Raises ValueError for any other text and for bit-widths other than 1 to 8 and 32 (float).
        """
        found = _LABEL.fullmatch(str(text))
        if not found:
            raise ValueError(f"a precision is written 4, w1a4 or float, not {text!r}")
        if found["both"]:
            bits = (int(found["both"]),) * 2
        elif found["weights"]:
            bits = (int(found["weights"]), int(found["activations"]))
        else:
            bits = (FLOAT, FLOAT)
        if any(not 1 <= one <= MAX_BITS and one != FLOAT for one in bits):
            raise ValueError(f"bit-widths are 1 to {MAX_BITS}, or {FLOAT} for float, not {text}")
        return cls(*bits)

    def nearest(
        self, others: Iterable[Precision], ties: Literal["high", "low"] = "high"
    ) -> Precision:
        """Return the nearest of `others` in bits; of two that are equally near, one by `ties`.

        Raises ValueError when there are none.
        """
        sign = -1 if ties == "high" else 1

        def distance(other: Precision) -> tuple[int, int, int]:
            bits = abs(other.weights - self.weights) + abs(other.activations - self.activations)
            return bits, sign * other.weights, sign * other.activations

        return min(others, key=distance)


class LayerPrecision(NamedTuple):
    """What a layer gets in a forward pass: its own precision, and its predecessor's."""

    own: Precision
    previous: Precision


class LayerInfo(NamedTuple):
    """A quantized layer of a network.

    name: of its module, as in the state dict. block: the swappable block it belongs to, None
    outside all blocks. fed_by: index of the layer before it on the main path, None for the first.
    """

    name: str
    block: int | None
    fed_by: int | None
    kind: Literal["conv", "depthwise", "shortcut"]


@dataclass(frozen=True)
class Assignment:
    """The precision at which each part of a network runs in one forward pass.

    outside: batch norm of the stem, where it is switched. layers: in the order of the network's
    own list, shortcuts and last convolutions included.
    """

    outside: Precision
    layers: tuple[Precision, ...]


@dataclass(frozen=True)
class OperatingPoint:
    """A way to run a network, by name; it does not depend on a particular network.

    layers: those, by name, that run at another precision than the rest.
    """

    name: str
    precision: Precision
    layers: tuple[tuple[str, Precision], ...] = ()

    @classmethod
    def at(cls, precision: Precision | int | str) -> OperatingPoint:
        """The whole network at one precision, whose label is the name."""
        if not isinstance(precision, Precision):
            precision = Precision.parse(precision)
        return cls(precision.label, precision)


def precisions_of(points: Iterable[OperatingPoint]) -> tuple[Precision, ...]:
    """Return every precision that points use, each once, in their order."""
    used = (p for point in points for p in (point.precision, *(own for _, own in point.layers)))
    return tuple(dict.fromkeys(used))


def cost(precision: Precision) -> int:
    """Return the bits of a weight times those of an activation, by which precisions are ordered."""
    return precision.weights * precision.activations


def check_high_to_low(precisions: Sequence[Precision]) -> None:
    """Raise ValueError unless precisions are in order from high to low, each once."""
    labels = [precision.label for precision in precisions]
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise ValueError(f"bit-widths are listed once each; repeated: {', '.join(twice)}")
    costs = [cost(precision) for precision in precisions]
    if costs != sorted(costs, reverse=True):
        ordered = sorted(precisions, key=cost, reverse=True)
        expected = ", ".join(precision.label for precision in ordered)
        raise ValueError(
            "bit-widths are listed from high to low, by bits of weights times bits of "
            f"activations: {expected}, not {', '.join(labels)}"
        )
