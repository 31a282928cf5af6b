"""The recorded table: what each setting reached after each epoch, with each seed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from benchmarks.search.trainings import Training
from orchestrator.job.space import Axis, Settings
from orchestrator.search.objective import mean
from orchestrator.track.delta_b import delta_b

Place = tuple[int, ...]
"""The number of the level on each axis, from 0."""


class Evaluation(NamedTuple):
    """What a training reached after an epoch, in percent."""

    points: dict[str, float]
    delta_b: float


@dataclass(frozen=True)
class Table:
    """A grid of settings, of which every cell was trained with each of some seeds.

    levels: of each key. cells: by place, for each seed, epoch by epoch; a training that failed has
    fewer epochs.
    """

    levels: Mapping[str, tuple[object, ...]]
    cells: Mapping[Place, tuple[tuple[Evaluation, ...], ...]]

    @property
    def seeds(self) -> int:
        """How many seeds each cell was trained with."""
        return len(next(iter(self.cells.values())))

    @property
    def epochs(self) -> int:
        """The epochs of a whole training."""
        return max(len(one) for seeds in self.cells.values() for one in seeds)

    def place(self, settings: Settings) -> Place:
        """Return the place of settings that are given by their values."""
        return tuple(self.levels[key].index(settings[key]) for key in self.levels)

    @cached_property
    def curves(self) -> Mapping[Place, list[Evaluation]]:
        """The means of each cell's seeds, for the epochs that all of them reached."""
        return {
            place: [mean_of(evaluations) for evaluations in zip(*seeds, strict=False)]
            for place, seeds in self.cells.items()
        }

    def value(self, place: Place) -> float:
        """Return what a cell is worth: Delta_B at its end; minus infinity if a training failed."""
        curve = self.curves[place]
        return curve[-1].delta_b if len(curve) == self.epochs else float("-inf")

    def ranked(self) -> list[Place]:
        """Return all places, the best first."""
        return sorted(self.cells, key=self.value, reverse=True)


def mean_of(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Return the mean of what some seeds reached."""
    points = {
        name: mean([one.points[name] for one in evaluations]) for name in evaluations[0].points
    }
    return Evaluation(points, mean([one.delta_b for one in evaluations]))


def table_of(trainings: Iterable[Training], space: Mapping[str, Axis]) -> Table:
    """Return the table of some trainings, with as many seeds as all cells of the space have.

    Delta_B compares with the means of the individual runs. Raises ValueError where a cell is
    missing.
    """
    made = list(trainings)
    levels = {key: tuple(axis.values or ()) for key, axis in space.items()}
    individual = _individual(made)
    found: dict[Place, dict[int, tuple[Evaluation, ...]]] = {}
    for one in made:
        if not one.alone:
            place = tuple(levels[key].index(one.settings[key]) for key in levels)
            rows = [Evaluation(points, delta_b(points, individual)) for points in one.epochs]
            found.setdefault(place, {})[one.seed] = tuple(rows)
    wanted = 1
    for listed in levels.values():
        wanted *= len(listed)
    whole = [seed for seed in range(2) if sum(seed in seeds for seeds in found.values()) == wanted]
    if not whole:
        raise ValueError(f"{len(found)} of {wanted} cells are recorded; record.py makes the others")
    cells = {place: tuple(seeds[seed] for seed in whole) for place, seeds in found.items()}
    return Table(levels, cells)


def _individual(made: Iterable[Training]) -> dict[str, float]:
    """Return the mean result of the individual runs, by bit-width."""
    last: dict[str, list[float]] = {}
    for one in made:
        if one.alone:
            last.setdefault(one.alone, []).append(one.epochs[-1][one.alone])
    return {point: mean(values) for point, values in last.items()}
