"""Short words for the precision of a layer, and for a quantizer of one weight."""

from typing import Any

import torch
from torch import Tensor

from models.precision import LayerPrecision, Precision
from models.quantizers.base import Levels, WeightQuantizer


def at(own: int | str, previous: int | str | None = None) -> LayerPrecision:
    """What a layer is run at; `previous` is its own precision unless given."""
    precision = Precision.parse(own)
    return LayerPrecision(precision, precision if previous is None else Precision.parse(previous))


def precisions(*texts: int | str) -> tuple[Precision, ...]:
    return tuple(Precision.parse(text) for text in texts)


class Bound:
    """A quantizer and the weight that it quantizes."""

    def __init__(
        self, kind: type[WeightQuantizer], weight: Any, code_bits: int = 8, **settings: Any
    ) -> None:
        self.weight = torch.as_tensor(weight)
        self.quantizer = kind(kind.Settings(**settings), range(1, code_bits + 1), code_bits)
        self.quantizer.to(self.weight.dtype)
        self.quantizer.start(self.weight)

    def values(self, bits: int) -> Tensor:
        values: Tensor = self.quantizer(self.weight, bits)
        return values

    def levels(self, bits: int) -> Levels:
        return self.quantizer.levels(self.weight, bits)

    def codes(self, bits: int) -> Tensor:
        return self.levels(bits).codes

    def distance(self, teacher: int, student: int) -> Tensor:
        return self.quantizer.distance(self.weight, teacher, student)
