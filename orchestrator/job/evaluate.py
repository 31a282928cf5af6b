"""The evaluate section of a job: what is evaluated at the end besides the trained points."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

from pydantic import BaseModel, Field, PlainValidator

from models.precision import FLOAT, OperatingPoint, Precision

KEY = "evaluate.points"


def _as_written(value: object) -> int | str:
    precision = Precision.parse(str(value))
    return precision.weights if precision.weights == precision.activations else precision.label


class Evaluate(BaseModel, frozen=True, extra="forbid"):
    """Bit-widths at which the trained network is evaluated without training (zero-shot)."""

    points: tuple[Annotated[int | str, PlainValidator(_as_written)], ...] = Field(
        (), description="bit-widths below the highest trained one, such as [7, 5, 3]"
    )
    calibration_batches: int = Field(
        200,
        ge=1,
        description="global batches over which batch norm is calibrated; at most an epoch",
    )

    @property
    def operating_points(self) -> tuple[OperatingPoint, ...]:
        """The points, as listed."""
        return tuple(map(OperatingPoint.at, self.points))


def mistakes(settings: Evaluate, trained: Sequence[OperatingPoint]) -> Iterator[tuple[str, str]]:
    """Yield (key, problem) for each point that a network trained at `trained` cannot be run at."""
    names = [point.name for point in trained]
    sources = uniform(trained)
    if settings.points and not sources:
        yield (
            KEY,
            f"training at {', '.join(names)} leaves nothing for other bit-widths to start from.",
        )
        return
    highest = max((precision.weights for precision in sources), default=0)
    clipped = any(precision.activations != FLOAT for precision in sources)
    for point, times in Counter(settings.operating_points).items():
        if times > 1:
            yield KEY, f"{point.name} is listed {times} times; once is enough."
        if point.name in names:
            yield KEY, f"{point.name} is trained, and so evaluated anyway; remove it."
        elif point.precision.weights > highest:
            above = f"is above the highest trained bit-width, {highest}"
            yield KEY, f"{point.name} {above}; weights can lose bits, not gain them."
        elif point.precision.activations != FLOAT and not clipped:
            weights_alone = Precision(point.precision.weights, FLOAT).label
            yield (
                KEY,
                f"{point.name} quantizes activations, and a network whose activations stay float "
                f"in training has no clip level to start from; give {weights_alone} instead.",
            )


def uniform(trained: Iterable[OperatingPoint]) -> list[Precision]:
    """Return the precisions at which a whole network was trained, float left out."""
    return [p.precision for p in trained if not p.layers and p.precision.weights != FLOAT]
