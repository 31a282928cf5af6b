"""The evaluate section of a job: what is evaluated at the end besides the trained points."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, Field, PlainValidator

from models.precision import FLOAT, OperatingPoint, Precision

KEY = "evaluate.points"
RANDOM_KEY = "evaluate.random.precisions"
RANDOM = "random"
"""The name of the result at random precisions."""


def _as_written(value: object) -> int | str:
    written = str(value).lower() if isinstance(value, bool) else str(value)
    precision = Precision.parse(written)
    return precision.weights if precision.weights == precision.activations else precision.label


BitWidth = Annotated[int | str, PlainValidator(_as_written)]


class RandomPrecision(BaseModel, frozen=True, extra="forbid"):
    """Passes over the evaluation set with a precision for each layer, drawn for each batch."""

    passes: int = Field(3, ge=1, le=100, description="of which mean and spread are reported")
    precisions: tuple[BitWidth, ...] = Field(
        (), description="what is drawn from, each once; none: the bit-widths of the last phase"
    )


class Evaluate(BaseModel, frozen=True, extra="forbid"):
    """Bit-widths that the last phase does not train, at which the network is evaluated as well."""

    points: tuple[BitWidth, ...] = Field(
        (), description="bit-widths below the highest trained one, such as [7, 5, 3]"
    )
    calibration_batches: int = Field(
        200,
        ge=1,
        description="global batches over which batch norm is calibrated; at most an epoch",
    )

    zero_shot_source: Literal["high", "low", "mean"] = Field(
        "high",
        description="whose batch norm and clip levels a bit-width between two trained ones takes "
        "when both are equally near; mean: as high, with the mean of the clip levels of the "
        "trained bit-widths around it",
    )
    random: RandomPrecision | None = Field(
        None, description="the result at a random precision for each layer and batch"
    )

    @property
    def wants_more(self) -> bool:
        """Whether more than the trained points is evaluated."""
        return bool(self.points) or self.random is not None

    @property
    def operating_points(self) -> tuple[OperatingPoint, ...]:
        """The points, as listed."""
        return tuple(map(OperatingPoint.at, self.points))


def mistakes(
    settings: Evaluate, trained: Sequence[OperatingPoint], last: Sequence[OperatingPoint]
) -> Iterator[tuple[str, str]]:
    """Yield (key, problem) for each point that a trained network cannot be run at.

    trained: the points of all phases; last: those of the last one, evaluated in any case.
    """
    yield from _of_random(settings.random, last)
    names = {point.name for point in trained}
    evaluated = {point.name for point in last}
    listed = Counter(settings.operating_points)
    for point, times in listed.items():
        if times > 1:
            yield KEY, f"{point.name} is listed {times} times; once is enough."
        if point.name in evaluated:
            yield KEY, f"{point.name} is trained, and so evaluated anyway; remove it."
        elif point.name not in names and uniform(last):
            highest = max(precision.weights for precision in uniform(trained))
            yield from ((KEY, problem) for problem in _unreachable(point, highest, uniform(last)))
    if not uniform(last) and any(point.name not in names for point in listed):
        labels = ", ".join(point.name for point in last)
        yield KEY, f"training at {labels} leaves nothing for other bit-widths to start from."


def drawn_from(settings: RandomPrecision, last: Sequence[OperatingPoint]) -> tuple[Precision, ...]:
    """Return the precisions that random ones are drawn from; last: the last phase's points."""
    return tuple(map(Precision.parse, settings.precisions)) or tuple(uniform(last))


def _of_random(
    settings: RandomPrecision | None, last: Sequence[OperatingPoint]
) -> Iterator[tuple[str, str]]:
    """Yield why there is no result at random precisions."""
    if settings is None:
        return
    drawn, own = Counter(drawn_from(settings, last)), uniform(last)
    listed = ", ".join(precision.label for precision in own)
    for precision, times in drawn.items():
        if precision not in own:
            problem = f"{precision.label} is not trained by the last phase; it trains {listed}."
            yield RANDOM_KEY, problem
        elif times > 1:
            yield RANDOM_KEY, f"{precision.label} is listed {times} times; once is enough."
    if len(drawn) < 2:
        yield (
            RANDOM_KEY,
            f"random needs two or more bit-widths to draw from, of {listed or 'none'}.",
        )
    if any(point.name == RANDOM for point in last):
        yield "evaluate.random", f"a point is called '{RANDOM}' as well; give it another name."


def _unreachable(
    point: OperatingPoint, highest: int, sources: Iterable[Precision]
) -> Iterator[str]:
    """Yield why a network with weights of `highest` bits cannot be run at a zero-shot point.

    sources: the precisions whose batch norm and clip levels the point can take.
    """
    weights, activations = point.precision
    if weights == FLOAT:
        yield (
            f"{point.name} has float weights, and the network is evaluated with quantized ones; "
            f"expected are bit-widths below {highest}."
        )
    elif weights > highest:
        above = f"is above the highest trained bit-width, {highest}"
        yield f"{point.name} {above}; weights can lose bits, not gain them."
    elif activations != FLOAT and all(source.activations == FLOAT for source in sources):
        yield (
            f"{point.name} quantizes activations, and a network whose activations stay float in "
            f"training has no clip level to start from; give {Precision(weights, FLOAT).label} "
            "instead."
        )


def uniform(trained: Iterable[OperatingPoint]) -> list[Precision]:
    """Return the precisions at which a whole network was trained, each once, float left out."""
    whole = (p.precision for p in trained if not p.layers and p.precision.weights != FLOAT)
    return list(dict.fromkeys(whole))
