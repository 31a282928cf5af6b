"""Evaluate trained weights at bit-widths as they are ("Direct Quantization", CoQuant Table 1).

From a float model (`start.from: float`) every point has its batch norm, and `clip_init` as clip
level; from another run (`start.from: checkpoint`) what the nearest of the run's bit-widths has:
that of 8 bits everywhere in a run of `individual` at 8 bits. AdaBits calls it direct adaptation
(Table 1). Nothing is trained: `training.epochs` is 0.
"""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from models.methods.base import Batch, Method, MethodSettings, Mistake, Pass, Step
from models.networks.base import AnyBitNetwork
from models.precision import FLOAT, MAX_BITS, OperatingPoint, precisions_of


class DirectSettings(MethodSettings, frozen=True):
    """Whether batch norm is left as it is, too, and what weights are read as."""

    name: Literal["direct"] = "direct"
    trains: ClassVar[bool] = False
    calibrate: bool = Field(
        False,
        description="give batch norm the statistics of each bit-width, from "
        "evaluate.calibration_batches",
    )
    b1: int = Field(
        MAX_BITS,
        ge=1,
        le=MAX_BITS,
        description="bit-width of the codes as which weights are read, those of the run that is "
        "evaluated",
    )


class Direct(Method):
    """No loss, no step: one evaluation."""

    Settings: ClassVar[type[DirectSettings]] = DirectSettings
    settings: DirectSettings

    @classmethod
    def mistakes(cls, settings: MethodSettings, points: Sequence[OperatingPoint]) -> list[Mistake]:
        """Return a mistake for too few bits of codes, or points that share what is calibrated."""
        assert isinstance(settings, DirectSettings)
        bits = (own.weights for own in precisions_of(points) if own.weights != FLOAT)
        most = max(bits, default=1)
        if most > settings.b1:
            problem = f"codes of {settings.b1} bits have no {most}-bit weights; at least {most}"
            return [("method.b1", problem)]
        mixed = [point.name for point in points if point.layers]
        if not mixed or not settings.calibrate:
            return []
        problem = (
            f"'{mixed[0]}' shares batch norm with other points, and method.calibrate gives each "
            "point statistics of its own; leave one of the two out."
        )
        return [("quantizer.assignment", problem)]

    @property
    def code_bits(self) -> int:
        """Bit-width of the stored weight codes (b1), 8 in individual runs."""
        return self.settings.b1

    @property
    def calibrates(self) -> bool:
        """Whether batch norm is calibrated."""
        return self.settings.calibrate

    def losses(
        self, network: AnyBitNetwork, batches: Sequence[Batch], step: Step
    ) -> Iterator[Pass]:
        """Yield nothing."""
        return iter(())
