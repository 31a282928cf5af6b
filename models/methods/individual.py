"""Train one bit-width alone: the reference of Delta_B (CoQuant, row "Individual")."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from pydantic import BaseModel, Field
from torch import Tensor
from torch.nn import functional as F

from models.methods.base import Method, Pass, Step
from models.networks.base import AnyBitNetwork
from models.precision import OperatingPoint


class IndividualSettings(BaseModel, frozen=True, extra="forbid", populate_by_name=True):
    """One bit-width, cross-entropy only."""

    name: Literal["individual"] = "individual"
    individual_b1: Literal[8, "same"] = Field(
        8, description="bit-width of the weight codes that are truncated (b1), or the trained one"
    )


class Individual(Method):
    """Cross-entropy of the only operating point. Raises ValueError if there are several."""

    Settings: ClassVar[type[IndividualSettings]] = IndividualSettings

    def __init__(self, settings: IndividualSettings, points: Sequence[OperatingPoint]) -> None:
        super().__init__(points)
        if len(self.points) != 1:
            raise ValueError(f"individual trains one bit-width, not {[p.name for p in points]}")
        self.settings = settings

    @property
    def code_bits(self) -> int:
        """Bit-width of the stored weight codes (b1)."""
        b1 = self.settings.individual_b1
        return super().code_bits if b1 == "same" else b1

    def losses(
        self, network: AnyBitNetwork, inputs: Tensor, labels: Tensor, step: Step
    ) -> Iterator[Pass]:
        """Yield the one loss."""
        (point,) = self.points
        yield Pass(point.name, F.cross_entropy(network(inputs, point), labels))
