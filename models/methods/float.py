"""Train the float network, from which most jobs start (CoQuant Table 9, "Full precision")."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from pydantic import BaseModel
from torch import Tensor
from torch.nn import functional as F

from models.bitwidth import FLOAT
from models.methods.base import BitLoss, Method, Step
from models.networks.base import AnyBitNetwork


class FloatSettings(BaseModel, frozen=True, extra="forbid"):
    """No quantizer, one operating point, cross-entropy only."""

    name: Literal["float"] = "float"


class Float(Method):
    """Cross-entropy of a network in which nothing is quantized."""

    Settings: ClassVar[type[FloatSettings]] = FloatSettings

    def __init__(self, settings: FloatSettings, bit_widths: Sequence[int]) -> None:
        super().__init__(bit_widths)
        if self.bit_widths != (FLOAT,):
            raise ValueError(f"float has no bit-widths, not {list(bit_widths)}")

    def losses(
        self, network: AnyBitNetwork, inputs: Tensor, labels: Tensor, step: Step
    ) -> Iterator[BitLoss]:
        """Yield the one loss."""
        yield BitLoss(FLOAT, F.cross_entropy(network(inputs, FLOAT), labels))
