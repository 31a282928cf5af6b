"""The searcher that knows good values: TPE with the priors as observations made beforehand.

Of the settings drawn from l, those with the largest l/b are proposed (TPE, Bergstra et al. 2011).
The priors' density pi and a uniform one count as two good trials made beforehand, near BOPrO (Souza
et al. 2021); x is a place in the unit cube, K a Gaussian around that of a trial:

    l(x) = (pi(x) + 1 + sum over good trials of K(x, x_i)) / (2 + number of the good ones)
    b(x) = (1 + sum over the other trials of K(x, x_i)) / (1 + number of the others)

A fixed share of the proposals comes from anywhere (PriorBand, Mallik et al. 2023). So a wrong prior
loses its weight in two ways: b grows where it fails, and the good trials outnumber it.
"""

import math
from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple

from pydantic import BaseModel

from orchestrator.job.search import PriorSearcher as Section
from orchestrator.job.space import Settings
from orchestrator.search.belief import Anywhere, Around, Density, belief
from orchestrator.search.objective import rank
from orchestrator.search.searchers import Proposal
from orchestrator.search.space import Space, Units
from orchestrator.search.trial import Trial

Cloud = Mapping[str, Density]
"""A density over the cube: a product of one for each axis; uniform on those it does not have."""

GOOD_SHARE = 0.3
CANDIDATES = 6

FIRST_WIDTH = 0.25
"""Standard deviation around the first trial; n trials shrink it by n^-0.15, at most by half."""


class _Bell(NamedTuple):
    """The Gaussian of a width around settings: to draw from, and as key, center, height."""

    settings: Settings
    width: float
    cloud: Cloud
    peaks: tuple[tuple[str, float, float], ...]


class PriorSearcher:
    """Begins at the priors, then looks near them and near good trials, or anywhere."""

    def __init__(self, section: BaseModel, space: Space, *, seed: int, direction: str) -> None:
        assert isinstance(section, Section)
        self._exploration = section.exploration
        self._space = space
        self._seed = seed
        self._direction = direction
        self._prior: Cloud = {key: belief(axis) for key, axis in space.axes.items()}
        self._bells: dict[str, _Bell] = {}
        self._anywhere: Cloud = dict.fromkeys(space.axes, Anywhere())

    def suggest(self, number: int, history: Sequence[Trial]) -> Proposal | None:
        """Return the priors' own values first; later ones near what is good, or from anywhere."""
        chance = Random(f"{self._seed} {number}")
        if number == 0:
            places = {key: density.peak(chance) for key, density in self._prior.items()}
            return Proposal(self._space.settings(places), "prior")
        if chance.random() < self._exploration:
            found = self._drawn([self._anywhere], chance, history)
            return None if found is None else Proposal(found, "anywhere")
        return self._near(chance, history)

    def _near(self, chance: Random, history: Sequence[Trial]) -> Proposal | None:
        """Return the most promising of some settings that are drawn from l."""
        good, others = self._divided(history)
        width = FIRST_WIDTH * max(0.5, max(len(history), 1) ** -0.15)
        near_good, near_others = (
            [self._around(trial, width) for trial in trials] for trials in (good, others)
        )

        def promise(settings: Settings) -> float:
            units = self._space.units(settings)
            prior = math.prod(self._prior[key].at(unit) for key, unit in units.items())
            near = (prior + 1 + _sum_at(units, near_good, width)) / (2 + len(good))
            return near * (1 + len(others)) / (1 + _sum_at(units, near_others, width))

        clouds = [self._prior, self._anywhere, *(bell.cloud for bell in near_good)]
        drawn = [self._drawn(clouds, chance, history) for _ in range(CANDIDATES)]
        left = [settings for settings in drawn if settings is not None]
        return Proposal(max(left, key=promise), "near") if left else None

    def _drawn(
        self, clouds: Sequence[Cloud], chance: Random, history: Sequence[Trial]
    ) -> Settings | None:
        """Return untried settings from the mean of some densities."""

        def draw() -> Units:
            cloud = chance.choice(clouds)
            density = {key: cloud.get(key, self._anywhere[key]) for key in self._space.axes}
            return {key: one.draw(chance) for key, one in density.items()}

        return self._space.untried(draw, history)

    def _divided(self, history: Sequence[Trial]) -> tuple[list[Trial], list[Trial]]:
        """Return the good trials and the others; those that still run are among the others.

        More epochs are better, since the scheduler let only the better ones go on; then the value
        decides.
        """

        def goodness(trial: Trial) -> tuple[int, float]:
            assert trial.value is not None
            return trial.epoch, rank(trial.value, self._direction)

        ended = [trial for trial in history if trial.state.ended and trial.value is not None]
        ranked = sorted(ended, key=goodness, reverse=True)
        good = ranked[: math.ceil(GOOD_SHARE * len(ranked))]
        names = {trial.name for trial in good}
        return good, [trial for trial in history if trial.name not in names]

    def _around(self, trial: Trial, width: float) -> _Bell:
        """Return the Gaussian around a trial; it is worked out again only for another width."""
        bell = self._bells.get(trial.name)
        if bell is None or bell.settings is not trial.settings or bell.width != width:
            units = self._space.units(trial.settings)
            cloud = {key: Around(unit, width) for key, unit in units.items()}
            peaks = tuple((key, one.center, one.height) for key, one in cloud.items())
            bell = self._bells[trial.name] = _Bell(trial.settings, width, cloud, peaks)
        return bell


def _sum_at(units: Units, bells: Sequence[_Bell], width: float) -> float:
    """Return the sum of some Gaussians of one width at a place.

    On an axis that a place or a Gaussian lacks its density counts as 1. All trials are gone through
    for each proposal, so this takes one exponential for all axes of a trial.
    """
    total, scale = 0.0, -0.5 / width**2
    for bell in bells:
        squares, height = 0.0, 1.0
        for key, center, peak in bell.peaks:
            if key in units:
                distance = units[key] - center
                squares += distance * distance
                height *= peak
        total += height * math.exp(scale * squares)
    return total
