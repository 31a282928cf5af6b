"""The values of a searched key in a few bins, so that trials near each other can be compared."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeGuard

from orchestrator.wording import shown

MOST_DISTINCT = 8
"""Up to so many different numbers each has a bin of its own, if a person may have listed them."""

FEW = 6
"""How many bins there are else."""

CROWDED = 1 / 25
"""Listed numbers of which two are nearer than this share of the range are set out evenly."""


class Bins(NamedTuple):
    """Some values in bins.

    labels: of the bins, in order. centers: of each. of: the bin of each value, from 0. is_exact:
    whether all values of a bin are the same. is_even: whether the centers are 0, 1, ..., as for
    values that are no numbers.
    """

    labels: tuple[str, ...]
    centers: tuple[float, ...]
    of: tuple[int, ...]
    is_exact: bool
    is_even: bool

    def places(self, values: Sequence[Any]) -> list[float]:
        """Return where on a line the values are that were put in the bins."""
        return [self.centers[number] for number in self.of] if self.is_even else list(values)


def binned(values: Sequence[Any], *, log: bool) -> Bins:
    """Return values in bins: of equal width, in the logarithm with `log`, where they are many."""
    if not all(map(is_number, values)):
        texts = [shown(value) for value in values]
        return _each(sorted(set(texts)), texts, is_even=True)
    distinct = sorted(set(values))
    if len(distinct) <= MOST_DISTINCT and all(map(_may_be_listed, distinct)):
        return _each(distinct, values, is_even=not log and _is_crowded(distinct))
    scaled = [math.log(value) if log else float(value) for value in values]
    lowest, width = min(scaled), (max(scaled) - min(scaled)) / FEW or 1.0
    middles = [lowest + (number + 0.5) * width for number in range(FEW)]
    centers = tuple(math.exp(middle) if log else middle for middle in middles)
    of = tuple(min(int((value - lowest) / width), FEW - 1) for value in scaled)
    return Bins(tuple(f"{center:.2g}" for center in centers), centers, of, False, False)


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value has a place on a line."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _each(distinct: Sequence[Any], values: Sequence[Any], *, is_even: bool) -> Bins:
    centers = tuple(map(float, range(len(distinct)) if is_even else distinct))
    of = tuple(map(distinct.index, values))
    return Bins(tuple(map(shown, distinct)), centers, of, True, is_even)


def _may_be_listed(value: float) -> bool:
    """Return whether a number is as round as people write them; few that are drawn are."""
    return float(f"{value:.3g}") == value


def _is_crowded(distinct: Sequence[float]) -> bool:
    return any(
        after - before < CROWDED * (distinct[-1] - distinct[0])
        for before, after in pairwise(distinct)
    )
