"""Optuna's TPE (Bergstra et al. 2011) as a searcher; it needs the extra `search`."""

from collections.abc import Sequence
from random import Random
from typing import Any

from pydantic import BaseModel

from orchestrator.search.records import TrialState
from orchestrator.search.searchers import Proposal
from orchestrator.search.space import Space, Units, levels
from orchestrator.search.trial import Trial


class OptunaSearcher:
    """Asks a new study each time, which has been told the whole history.

    A study knows ranges as places in [0, 1], and listed values and steps by their number.
    """

    def __init__(self, section: BaseModel, space: Space, *, seed: int, direction: str) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._seed = seed
        self._direction = f"{direction}imize"
        self._levels = {key: list(levels(axis)) for key, axis in space.axes.items()}
        self._ranges = {key: self._range(key) for key in space.axes}

    def suggest(self, number: int, history: Sequence[Trial]) -> Proposal | None:
        """Return what the study suggests, unless it was tried."""
        import optuna

        seed = Random(f"{self._seed} {number}").randrange(2**32)
        sampler = optuna.samplers.TPESampler(seed=seed)
        study = optuna.create_study(direction=self._direction, sampler=sampler)
        study.add_trials([self._told(trial) for trial in history])
        settings = self._space.untried(lambda: self._asked(study.ask()), history)
        return None if settings is None else Proposal(settings, "tpe")

    def _asked(self, asked: Any) -> Units:
        """Return the place that a trial of the study suggests; 0 on axes that are not there."""
        units: dict[str, float] = dict.fromkeys(self._space.axes, 0.0)
        for key, axis in self._space.axes.items():
            if key in self._space.settings(units):
                found, listed = self._suggested(asked, key), self._levels[key]
                units[key] = axis.unit(listed[found]) if listed else found
        return units

    def _suggested(self, asked: Any, key: str) -> Any:
        numbers = range(len(self._levels[key]))
        if self._space.axes[key].values is not None:
            return asked.suggest_categorical(key, numbers)
        return asked.suggest_int(key, 0, numbers[-1]) if numbers else asked.suggest_float(key, 0, 1)

    def _told(self, trial: Trial) -> Any:
        """Return a trial of the search as one of a study.

        One that was stopped before its end is pruned: TPE ranks these by how far they came. One
        without a value tells nothing; one that still runs counts as bad meanwhile.
        """
        from optuna.trial import TrialState as Told
        from optuna.trial import create_trial

        kind = Told.COMPLETE if trial.state == TrialState.FINISHED else Told.PRUNED
        value = trial.value
        if value is None or not trial.state.ended:
            kind, value = Told.FAIL if trial.state.ended else Told.RUNNING, None
        return create_trial(
            state=kind,
            value=value,
            params={key: self._place(key, setting) for key, setting in trial.settings.items()},
            distributions={key: self._ranges[key] for key in trial.settings},
            intermediate_values={} if value is None else {trial.epoch: value},
        )

    def _place(self, key: str, value: Any) -> float:
        listed = self._levels[key]
        return listed.index(value) if listed else self._space.axes[key].unit(value)

    def _range(self, key: str) -> Any:
        from optuna import distributions

        numbers = range(len(self._levels[key]))
        if self._space.axes[key].values is not None:
            return distributions.CategoricalDistribution(numbers)
        if numbers:
            return distributions.IntDistribution(0, numbers[-1])
        return distributions.FloatDistribution(0.0, 1.0)
