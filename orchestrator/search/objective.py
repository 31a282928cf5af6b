"""The one number by which trials are compared."""

import math
from collections.abc import Mapping, Sequence

DELTA_B, MEAN, WORST = "delta_b", "mean", "worst"


def objective(metric: str, points: Mapping[str, float], delta_b: float | None) -> float | None:
    """Return the value of a metric, in percent; None where it does not exist or is not finite.

    metric: delta_b, mean or worst (the smallest) of all points, or the name of a point.
    points: the results by operating point, in percent; one that is not finite spoils all.
    """
    known = {DELTA_B: delta_b, **points}
    if points:
        known |= {MEAN: mean(list(points.values())), WORST: min(points.values())}
    value = known.get(metric)
    finite = value is not None and all(map(math.isfinite, (value, *points.values())))
    return value if finite else None


def in_words(metric: str) -> str:
    """Return what a metric is called where people read it."""
    words = {DELTA_B: "Delta_B", MEAN: "mean of all points", WORST: "worst point"}
    return words.get(metric, metric)


def mean(values: Sequence[float]) -> float:
    """Return the mean of at least one value."""
    return math.fsum(values) / len(values)


def spread(values: Sequence[float]) -> float | None:
    """Return the largest less the smallest value; None for a single one, which shows none."""
    return max(values) - min(values) if len(values) > 1 else None


def rank(value: float, direction: str) -> float:
    """Return a number that is larger for a better value. direction: max or min."""
    return value if direction == "max" else -value
