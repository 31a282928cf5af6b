"""Where on an axis good values are believed to be, as densities over its places in [0, 1]."""

import math
from dataclasses import dataclass
from functools import cached_property
from random import Random
from statistics import NormalDist
from typing import Protocol

from orchestrator.job.space import Axis


class Density(Protocol):
    """A probability density over [0, 1]."""

    def at(self, unit: float) -> float:
        """Return the density at a place; a uniform one is 1 everywhere."""

    def draw(self, chance: Random) -> float:
        """Return a place."""

    def peak(self, chance: Random) -> float:
        """Return the place of the highest density; of a uniform one any."""


@dataclass(frozen=True)
class Anywhere:
    """The uniform density."""

    def at(self, unit: float) -> float:
        """Return 1."""
        return 1.0

    def draw(self, chance: Random) -> float:
        """Return any place."""
        return chance.random()

    def peak(self, chance: Random) -> float:
        """Return any place."""
        return chance.random()


@dataclass(frozen=True)
class Around:
    """A Gaussian that is cut off at 0 and 1. width: its standard deviation before the cut."""

    center: float
    width: float

    @cached_property
    def _normal(self) -> NormalDist:
        return NormalDist(self.center, self.width)

    @cached_property
    def _below(self) -> float:
        return self._normal.cdf(0.0)

    @cached_property
    def _within(self) -> float:
        return self._normal.cdf(1.0) - self._below

    @cached_property
    def height(self) -> float:
        """The density at the center."""
        return self._normal.pdf(self.center) / self._within

    def at(self, unit: float) -> float:
        """Return the density at a place."""
        return self.height * math.exp(-0.5 * ((unit - self.center) / self.width) ** 2)

    def draw(self, chance: Random) -> float:
        """Return a place."""
        share = self._below + chance.random() * self._within
        if not 0.0 < share < 1.0:
            return self.center
        return min(max(self._normal.inv_cdf(share), 0.0), 1.0)

    def peak(self, chance: Random) -> float:
        """Return the center."""
        return self.center


@dataclass(frozen=True)
class OneOf:
    """One of some listed values, each of which has an equal part of [0, 1].

    likely: the number of the believed one. others: the probability of all others together.
    """

    values: int
    likely: int
    others: float

    def at(self, unit: float) -> float:
        """Return the density at a place."""
        return self._probability(min(int(unit * self.values), self.values - 1)) * self.values

    def draw(self, chance: Random) -> float:
        """Return the middle of a value's part."""
        weights = [self._probability(number) for number in range(self.values)]
        return (chance.choices(range(self.values), weights)[0] + 0.5) / self.values

    def peak(self, chance: Random) -> float:
        """Return the middle of the believed value's part."""
        return (self.likely + 0.5) / self.values

    def _probability(self, number: int) -> float:
        if self.values == 1:
            return 1.0
        return 1.0 - self.others if number == self.likely else self.others / (self.values - 1)


def belief(axis: Axis) -> Density:
    """Return what the prior of an axis says; without one: anywhere.

    A width is in the key's unit, a factor on a loguniform axis, and the share of the other values
    on one of listed values.
    """
    if axis.prior is None:
        return Anywhere()
    place, width = axis.unit(axis.prior.value), axis.prior.width
    if axis.values is not None:
        return OneOf(len(axis.values), axis.values.index(axis.prior.value), min(width, 1.0))
    return Around(place, axis.share(width))
