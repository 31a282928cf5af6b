"""Train one bit-width alone: the reference of Delta_B (CoQuant, row "Individual")."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from pydantic import Field
from torch.nn import functional as F

from models.methods.base import Batch, Method, MethodSettings, Mistake, Pass, Step, listed
from models.networks.base import AnyBitNetwork
from models.precision import FLOAT, OperatingPoint


class IndividualSettings(MethodSettings, frozen=True):
    """One bit-width, cross-entropy only."""

    name: Literal["individual"] = "individual"
    individual_b1: Literal[8, "same"] = Field(
        8,
        description="bit-width of the weight codes that are truncated (b1), or the trained one, "
        "which must be that of all phases then",
    )


class Individual(Method):
    """Cross-entropy of the only operating point."""

    Settings: ClassVar[type[IndividualSettings]] = IndividualSettings
    settings: IndividualSettings

    @classmethod
    def mistakes(cls, settings: MethodSettings, points: Sequence[OperatingPoint]) -> list[Mistake]:
        """Return a mistake unless there is one point."""
        if len(points) == 1:
            return []
        problem = (
            f"the method 'individual' trains one bit-width, got {listed(points)}; "
            "for example [4], in one job for each bit-width."
        )
        return [("quantizer.bit_widths", problem)]

    @property
    def code_bits(self) -> int:
        """Bit-width of the stored weight codes (b1)."""
        b1 = self.settings.individual_b1
        return super().code_bits if b1 == "same" else b1

    def mistakes_with(self, code_bits: int) -> list[Mistake]:
        """Return a mistake where weights are codes of more bits than the trained ones."""
        own = self.code_bits
        is_float = all(point.precision.weights == FLOAT for point in self.points)
        if self.settings.individual_b1 != "same" or is_float or code_bits == own:
            return []
        problem = (
            f"same is {own} bits here, and the network has codes of {code_bits} bits for another "
            "phase; it has one kind for all. Leave it at 8, or give this phase a job of its own."
        )
        return [("method.individual_b1", problem)]

    def losses(
        self, network: AnyBitNetwork, batches: Sequence[Batch], step: Step
    ) -> Iterator[Pass]:
        """Yield the loss of each batch."""
        (point,) = self.points
        for inputs, labels in batches:
            yield Pass(point.name, F.cross_entropy(network(inputs, point), labels))
