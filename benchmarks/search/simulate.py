"""One search on the recorded table, from its beginning to its answer."""

import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from benchmarks.search.table import Evaluation, Place, Table
from benchmarks.search.table_crew import TableCrew
from orchestrator.job.search import Search
from orchestrator.job.space import Axis, Prior, Settings
from orchestrator.search.conductor import Conductor, opening
from orchestrator.search.journal import Read, SearchJournal
from orchestrator.search.records import Ended, Record
from orchestrator.search.space import Space
from orchestrator.search.standing import Standing

WITHIN = (0.2, 0.5)
"""A setting is an answer if it is worth so little less than the best one, in Delta_B: hardly less,
or no less than two seeds differ by chance."""

WIDTH = 0.6
"""One standard deviation of a prior, in levels."""


class Answered(Exception):
    """Raised to end a search that has its answers."""


class Variant(NamedTuple):
    """A searcher, and the place of its priors where it has them."""

    searcher: str
    prior: Place | None = None


class Unwritten(SearchJournal):
    """A journal that is kept nowhere."""

    def __init__(self) -> None:
        pass

    def append(self, record: Record) -> None:
        """Forget a record."""

    def read(self, start: int = 0) -> Read:
        """Return that nothing was written."""
        return Read([], 0)


class Replay:
    """A search whose trials have all seeds of a table and show their means."""

    def __init__(self, table: Table, variant: Variant, seed: int) -> None:
        chance = random.Random(seed)
        self._table = table
        self._seed = seed
        self._searcher = variant.searcher
        self._axes = levels_as_axes(table, variant, chance)
        best = table.value(table.ranked()[0])
        self._goals = {within: best - within for within in WITHIN}
        self._trained: dict[float, int] = {}

    def trainings(self, scheduler: str, groups: int) -> dict[float, float]:
        """Return the epochs until there is an answer, in whole trainings, infinity without one.

        By how near to the best setting it has to be.
        """
        values = {
            "space": self._axes,
            "trials": len(self._table.cells),
            "scheduler": {"name": scheduler},
            "searcher": {"name": self._searcher},
        }
        crew = TableCrew(self._look, groups=groups, epochs=self._table.epochs)
        search, space = Search.model_validate(values), Space(self._axes, {})
        opened = opening(search, space, name="replay", epochs=self._table.epochs, workers=1)

        def tell(record: Record, standing: Standing) -> None:
            self._tell(record, standing, crew.trained)

        conductor = Conductor(
            search, space, Unwritten(), crew, tell, opened=opened, seed=self._seed
        )
        with suppress(Answered):
            conductor.run()
        epochs = {within: self._trained.get(within, float("inf")) for within in WITHIN}
        return {within: count / self._table.epochs for within, count in epochs.items()}

    def _place(self, settings: Settings) -> Place:
        return tuple(settings[key] for key in self._table.levels)

    def _look(self, settings: Settings) -> Sequence[Evaluation]:
        return self._table.curves[self._place(settings)]

    def _tell(self, record: Record, standing: Standing, trained: int) -> None:
        """Note when the best finished trial is an answer; end the search once it always is."""
        if isinstance(record, Ended) and standing.curve:
            best = standing.trials[standing.curve[-1].trial]
            value = self._table.value(self._place(best.settings))
            for within, goal in self._goals.items():
                if value >= goal:
                    self._trained.setdefault(within, trained)
            if len(self._trained) == len(WITHIN):
                raise Answered


def levels_as_axes(table: Table, variant: Variant, chance: random.Random) -> dict[str, Axis]:
    """Return an axis over the numbers of each key's levels, so that searchers see their order."""
    axes: dict[str, Axis] = {}
    for number, (key, levels) in enumerate(table.levels.items()):
        given: dict[str, Any] = {"uniform": (0, len(levels) - 1), "step": 1}
        if variant.searcher == "grid":
            given = {"grid": tuple(chance.sample(range(len(levels)), len(levels)))}
        if variant.prior:
            given["prior"] = Prior(value=variant.prior[number], width=WIDTH)
        axes[key] = Axis(**given)
    keys = chance.sample(list(axes), len(axes)) if variant.searcher == "grid" else list(axes)
    return {key: axes[key] for key in keys}
