"""Ray Tune's asynchronous successive halving, used as a library: the only file that knows Tune."""

from collections.abc import Sequence
from dataclasses import dataclass

from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from orchestrator.job.search import Asha as Section


@dataclass(frozen=True)
class _Named:
    """What Tune's scheduler needs to know of a trial."""

    trial_id: str


class Asha:
    """Lets the best 1/factor of the trials that came as far go on (Li et al. 2020).

    A trial is compared with those that were there before it; who is first always goes on.
    """

    def __init__(self, section: Section, *, epochs: int, direction: str) -> None:
        grace = min(section.grace, epochs)
        self._factor = section.factor
        self._trials: dict[str, _Named] = {}
        self._tune = ASHAScheduler(
            time_attr="epoch",
            metric="value",
            mode=direction,
            max_t=epochs,
            grace_period=grace,
            reduction_factor=section.factor,
            stop_last_trials=False,
        )
        self.rungs: Sequence[int] = _rungs(grace, section.factor, epochs)

    def verdict(self, trial: str, epoch: int, value: float) -> str:
        """Return that the trial is not among the best, at a rung; nothing elsewhere."""
        action = self._tune.on_trial_result(
            None, self._known(trial), {"epoch": epoch, "value": value}
        )
        if action != TrialScheduler.STOP:
            return ""
        return f"{value:.2f} after epoch {epoch} is not among the best 1 in {self._factor} (asha)"

    def _known(self, trial: str) -> _Named:
        if trial not in self._trials:
            self._trials[trial] = _Named(trial)
            self._tune.on_trial_add(None, self._trials[trial])
        return self._trials[trial]


def _rungs(grace: int, factor: int, epochs: int) -> list[int]:
    rungs = []
    while grace < epochs:
        rungs.append(grace)
        grace *= factor
    return rungs
