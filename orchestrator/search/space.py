"""Settings as places in a unit cube, in which searchers need to know no kinds of axes."""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any

from orchestrator.job.search import Search, axes, fixed, flat
from orchestrator.job.space import Axis, Settings, combinations
from orchestrator.search.trial import Trial
from orchestrator.typed_json import Values

Units = Mapping[str, float]
"""A place in [0, 1] on each axis, by key."""

MOST_LEVELS = 10_000
"""A range with more steps is searched like one without."""

VAIN_DRAWS = 100
"""So many draws in a row that were all tried before say that little is left to try."""


@dataclass(frozen=True)
class Space:
    """The axes of a search in their order, and the job's own values that conditions refer to."""

    axes: Mapping[str, Axis]
    fixed: Mapping[str, Any]

    @classmethod
    def of(cls, search: Search, job_values: Values) -> "Space":
        """Return the space of a search. job_values: of its job, `Job.as_dict`."""
        return cls(axes(search, job_values), fixed(search, job_values))

    @cached_property
    def is_finite(self) -> bool:
        """Whether a search can come to its end: every axis has listed values or steps."""
        return all(levels(axis) for axis in self.axes.values())

    def settings(self, units: Units) -> Settings:
        """Return the settings at a place, without the axes that do not exist there."""
        chosen: Settings = {}
        for key, axis in self.axes.items():
            if axis.exists({**self.fixed, **chosen}):
                chosen[key] = axis.value(units[key])
        return chosen

    def units(self, settings: Settings) -> dict[str, float]:
        """Return the place of settings, on the axes that exist there."""
        return {key: self.axes[key].unit(value) for key, value in settings.items()}

    def settings_in(self, job_values: Values) -> Settings | None:
        """Return the settings that a trial's job was made with; None if they are not from here."""
        own = flat(job_values)
        chosen: Settings = {}
        for key, axis in self.axes.items():
            if axis.exists({**self.fixed, **chosen}):
                chosen[key] = own.get(key)
        try:
            self.units(chosen)
        except (TypeError, ValueError):
            return None
        return chosen

    def trials(self, wanted: int | None) -> int:
        """Return how many trials there can be: as many as are wanted, or as there are settings.

        Raises ValueError when all are wanted of a space that has no end.
        """
        if self.is_finite:
            return sum(1 for _ in islice(self._all(), wanted))
        if wanted is None:
            raise ValueError("a space without an end needs search.trials")
        return wanted

    def untried(self, draw: Callable[[], Units], history: Sequence[Trial]) -> Settings | None:
        """Return drawn settings that no trial has had; None when a finite space is exhausted."""
        tried = [trial.settings for trial in history]
        for _ in range(VAIN_DRAWS):
            settings = self.settings(draw())
            if settings not in tried:
                return settings
        if not self.is_finite:
            return settings
        return next((settings for settings in self._all() if settings not in tried), None)

    def nth(self, number: int) -> Settings | None:
        """Return settings by number in a finite space, from 0; the last axis changes fastest."""
        return next(islice(self._all(), number, None), None)

    def cells(self) -> list["Space"]:
        """Return a space for each combination of the grid axes, which have one value there."""
        grid = {key: axis for key, axis in self.axes.items() if axis.grid}
        drawn = self.axes.keys() - grid.keys()
        pinned = {key: _without(axis, drawn) for key, axis in grid.items()}
        found = combinations(pinned, self.fixed, lambda axis: axis.values or ())
        return [replace(self, axes={**self.axes, **self._at(cell)}) for cell in found]

    def has(self, settings: Settings) -> bool:
        """Return whether settings may be from here; only the listed values are looked at."""
        listed = {key: axis.values for key, axis in self.axes.items() if axis.values is not None}
        return all(settings[key] in listed[key] for key in listed.keys() & settings.keys())

    def _at(self, cell: Settings) -> dict[str, Axis]:
        return {key: Axis(choice=(cell[key],), when=self.axes[key].when) for key in cell}

    def _all(self) -> Iterator[Settings]:
        return combinations(self.axes, self.fixed, levels)


def levels(axis: Axis) -> Sequence[Any]:
    """Return all values of an axis; none for a range without a step, or with too fine a one."""
    if axis.values is not None:
        return axis.values
    if axis.step is None:
        return ()
    lowest, highest = axis.bounds
    count = int((highest - lowest) / axis.step + 1e-9) + 1
    if count > MOST_LEVELS:
        return ()
    places = (min(lowest + number * axis.step, highest) for number in range(count))
    return [axis.value(axis.unit(place)) for place in places]


def _without(axis: Axis, drawn: Set[str]) -> Axis:
    """Return an axis without its conditions on drawn keys."""
    kept = {key: wanted for key, wanted in axis.when.items() if key not in drawn}
    return axis.model_copy(update={"when": kept})
