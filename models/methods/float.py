"""Train the float network, from which most jobs start (CoQuant Table 9, "Full precision")."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from pydantic import BaseModel
from torch import Tensor
from torch.nn import functional as F

from models.methods.base import Method, Pass, Step
from models.networks.base import AnyBitNetwork
from models.precision import FLOAT, OperatingPoint


class FloatSettings(BaseModel, frozen=True, extra="forbid"):
    """No quantizer, one operating point, cross-entropy only."""

    name: Literal["float"] = "float"


class Float(Method):
    """Cross-entropy of a network in which nothing is quantized."""

    Settings: ClassVar[type[FloatSettings]] = FloatSettings

    def __init__(self, settings: FloatSettings, points: Sequence[OperatingPoint]) -> None:
        super().__init__(points)
        if self.points != (OperatingPoint.at(FLOAT),):
            raise ValueError(f"float has no bit-widths, not {[p.name for p in points]}")

    def losses(
        self, network: AnyBitNetwork, inputs: Tensor, labels: Tensor, step: Step
    ) -> Iterator[Pass]:
        """Yield the one loss."""
        (point,) = self.points
        yield Pass(point.name, F.cross_entropy(network(inputs, point), labels))
