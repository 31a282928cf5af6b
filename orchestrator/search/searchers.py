"""The table of searchers: what proposes the settings of the next trial."""

import random
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from pydantic import BaseModel

from models.table import resolve
from orchestrator.job.search import Search
from orchestrator.job.space import Settings
from orchestrator.search.space import Space
from orchestrator.search.trial import Trial

SEARCHERS = {
    "random": "orchestrator.search.searchers:RandomSearcher",
    "grid": "orchestrator.search.searchers:GridSearcher",
    "prior": "orchestrator.search.prior:PriorSearcher",
    "optuna": "orchestrator.search.optuna:OptunaSearcher",
}


class Proposal(NamedTuple):
    """Settings for a trial. origin: where they come from, in a word."""

    settings: Settings
    origin: str


class Searcher(Protocol):
    """Proposes settings, by nothing but the seed, the number and the history given to it.

    So there is nothing to save: a resumed search goes on as if it had never stopped.
    """

    def __init__(self, section: BaseModel, space: Space, *, seed: int, direction: str) -> None:
        """Take `search.searcher`, the seed of the search's job, and max or min."""

    def suggest(self, number: int, history: Sequence[Trial]) -> Proposal | None:
        """Return settings for a trial; None when there is nothing left to try.

        number: of the trial, from 0. history: all trials before it, in whatever state they are.
        """


def searcher_of(search: Search, space: Space, seed: int) -> Searcher:
    """Return the searcher of a search. Grid axes are crossed with what the others draw."""
    kind: type[Searcher] = resolve(SEARCHERS, search.searcher.name)
    gridded = kind is not GridSearcher and any(axis.grid for axis in space.axes.values())
    spaces = space.cells() if gridded else [space]
    found = [kind(search.searcher, one, seed=seed, direction=search.direction) for one in spaces]
    return Crossed(spaces, found) if gridded else found[0]


class RandomSearcher:
    """Draws every axis evenly, a loguniform one in its logarithm."""

    def __init__(self, section: BaseModel, space: Space, *, seed: int, direction: str) -> None:
        self._space = space
        self._seed = seed

    def suggest(self, number: int, history: Sequence[Trial]) -> Proposal | None:
        """Return settings from anywhere in the space."""
        chance = random.Random(f"{self._seed} {number}")
        keys = list(self._space.axes)
        found = self._space.untried(lambda: {key: chance.random() for key in keys}, history)
        return None if found is None else Proposal(found, "anywhere")


class GridSearcher:
    """Takes all combinations of the listed values in turn; the last axis changes fastest."""

    def __init__(self, section: BaseModel, space: Space, *, seed: int, direction: str) -> None:
        self._space = space

    def suggest(self, number: int, history: Sequence[Trial]) -> Proposal | None:
        """Return the combination of that number."""
        found = self._space.nth(number)
        return None if found is None else Proposal(found, "grid")


class Crossed:
    """Crosses grid axes with what a searcher draws: trial n of G cells is in cell n mod G.

    In each cell a searcher looks at that cell alone and draws as in all others, so that cells are
    compared at the same values of the drawn axes.
    """

    def __init__(self, cells: Sequence[Space], searchers: Sequence[Searcher]) -> None:
        self._cells = cells
        self._searchers = searchers

    def suggest(self, number: int, history: Sequence[Trial]) -> Proposal | None:
        """Return settings in the trial's cell, or in the next one that has some left."""
        turn, first = divmod(number, len(self._cells))
        for step in range(len(self._cells)):
            cell = (first + step) % len(self._cells)
            seen = [trial for trial in history if self._cells[cell].has(trial.settings)]
            if proposal := self._searchers[cell].suggest(turn, seen):
                return proposal
        return None
