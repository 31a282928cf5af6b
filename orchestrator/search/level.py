"""Trials as far as many of them came, so that those that were stopped early count, too."""

from collections.abc import Mapping
from typing import NamedTuple

from orchestrator.search.objective import mean, objective
from orchestrator.search.records import Opened
from orchestrator.search.standing import Standing
from orchestrator.typed_json import Values


class Reached(NamedTuple):
    """What a trial had reached after an epoch, the mean of its seeds. points: in percent."""

    trial: str
    settings: Values
    value: float
    points: Mapping[str, float]


class Level(NamedTuple):
    """What trials had reached after one and the same epoch, from 1."""

    epoch: int
    trials: list[Reached]


def comparable(standing: Standing) -> Level:
    """Return the trials after the last epoch that at least half of those with a value reached."""
    assert standing.opened is not None
    epochs = sorted(trial.epoch for trial in standing.trials.values() if trial.value is not None)
    if not epochs:
        return Level(0, [])
    epoch = epochs[len(epochs) // 2]
    found = (_reached(standing, standing.opened, trial, epoch) for trial in standing.trials)
    return Level(epoch, [one for one in found if one])


def _reached(standing: Standing, opened: Opened, trial: str, epoch: int) -> Reached | None:
    runs = standing.runs_of(trial)
    reports = [run.reports[epoch] for run in runs if epoch in run.reports]
    values = [objective(opened.metric, one.points, one.delta_b) for one in reports]
    known = [value for value in values if value is not None]
    if len(known) < opened.seeds:
        return None
    points = {name: mean([one.points[name] for one in reports]) for name in reports[0].points}
    return Reached(trial, standing.trials[trial].settings, mean(known), points)
