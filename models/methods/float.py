"""Train the float network, from which most jobs start (CoQuant Table 9, "Full precision")."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from torch.nn import functional as F

from models.layers.layout import Layout
from models.methods.base import Batch, Method, MethodSettings, Mistake, Pass, Step, listed
from models.networks.base import AnyBitNetwork
from models.precision import FLOAT, OperatingPoint


class FloatSettings(MethodSettings, frozen=True):
    """No quantizer, one operating point, cross-entropy only."""

    name: Literal["float"] = "float"
    quantized: ClassVar[bool] = False


class Float(Method):
    """Cross-entropy of a network in which nothing is quantized."""

    Settings: ClassVar[type[FloatSettings]] = FloatSettings

    @classmethod
    def mistakes(cls, settings: MethodSettings, points: Sequence[OperatingPoint]) -> list[Mistake]:
        """Return a mistake unless the only point is the float network."""
        if tuple(points) == (OperatingPoint.at(FLOAT),):
            return []
        return [("quantizer.bit_widths", f"float has no bit-widths, got {listed(points)}.")]

    @property
    def layout(self) -> Layout:
        """One set of batch norm, named as in a float network."""
        return Layout(norm="shared")

    def losses(
        self, network: AnyBitNetwork, batches: Sequence[Batch], step: Step
    ) -> Iterator[Pass]:
        """Yield the loss of each batch."""
        (point,) = self.points
        for inputs, labels in batches:
            yield Pass(point.name, F.cross_entropy(network(inputs, point), labels))
