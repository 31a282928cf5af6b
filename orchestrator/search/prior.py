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


class PriorSearcher:
    """Begins at the priors, then looks near them and near good trials, or anywhere."""

    def __init__(self, section: BaseModel, space: Space, *, seed: int, direction: str) -> None:
        assert isinstance(section, Section)
        self._exploration = section.exploration
        self._space = space
        self._seed = seed
        self._direction = direction
        self._prior: Cloud = {key: belief(axis) for key, axis in space.axes.items()}
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
        around_good, around_others = self._around(good, width), self._around(others, width)
        l_clouds: list[Cloud] = [self._prior, self._anywhere, *around_good]
        b_clouds: list[Cloud] = [self._anywhere, *around_others]

        def promise(settings: Settings) -> float:
            units = self._space.units(settings)
            return _density(l_clouds, units) / _density(b_clouds, units)

        drawn = [self._drawn(l_clouds, chance, history) for _ in range(CANDIDATES)]
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

    def _around(self, trials: Sequence[Trial], width: float) -> list[Cloud]:
        places = [self._space.units(trial.settings) for trial in trials]
        return [{key: Around(unit, width) for key, unit in units.items()} for units in places]


def _density(clouds: Sequence[Cloud], units: Units) -> float:
    """Return the mean density at a place; on an axis that one of both lacks it counts as 1."""
    products = [
        math.prod(cloud[key].at(unit) for key, unit in units.items() if key in cloud)
        for cloud in clouds
    ]
    return math.fsum(products) / len(products)
