"""A trial of a search as it stands, and its runs.

Times are in seconds since 1970; worker-seconds are those of all workers of a run together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from orchestrator.search.objective import mean, objective, spread
from orchestrator.search.records import Began, Ended, How, Left, Reported, TrialState
from orchestrator.typed_json import Values


class Stretch(NamedTuple):
    """A run was with a group of workers from one time to another."""

    run: str
    began: float
    left: float
    workers: int

    @property
    def worker_seconds(self) -> float:
        """What the stretch took."""
        return (self.left - self.began) * self.workers


@dataclass
class Run:
    """A run of a trial.

    began: with a group now, since then. left: how it left its last one. parks: how often it has
    parked since its last new epoch, or since the driver began if that was later.
    """

    name: str
    reports: dict[int, Reported] = field(default_factory=dict)
    began: Began | None = None
    left: Left | None = None
    parks: int = 0

    @property
    def epoch(self) -> int:
        """The last epoch that was reported, from 1; 0 before the first."""
        return max(self.reports, default=0)

    @property
    def over(self) -> bool:
        """Whether the run trains no further of itself."""
        return self.left is not None and self.left.how != How.PARKED


@dataclass(frozen=True)
class Trial:
    """A trial as it stands.

    value: the mean of its seeds at `epoch`, the last that all of them have reached; spread: their
    largest less their smallest value, by_seed: each of them. points, delta_b: means as well.
    stretches: when its runs were with a group, but for the one that is not over.
    """

    name: str
    settings: Values
    origin: str = ""
    state: TrialState = TrialState.PLANNED
    value: float | None = None
    spread: float | None = None
    by_seed: tuple[float, ...] = ()
    points: dict[str, float] = field(default_factory=dict)
    delta_b: float | None = None
    epoch: int = 0
    step: int = 0
    reason: str = ""
    stretches: tuple[Stretch, ...] = ()

    @property
    def worker_seconds(self) -> float:
        """What its runs have taken, but for the stretches that are not over."""
        return sum(stretch.worker_seconds for stretch in self.stretches)

    def after_reports(self, runs: Sequence[Run], metric: str) -> "Trial":
        """Return the trial with what all its runs have reported, as far as the last one is."""
        reached = set.intersection(*(set(run.reports) for run in runs))
        if not reached:
            return self
        reports = [run.reports[max(reached)] for run in runs]
        points, delta_b = _mean_points(reports), _mean_delta_b(reports)
        values = [objective(metric, one.points, one.delta_b) for one in reports]
        known = tuple(value for value in values if value is not None)
        whole = known if len(known) == len(values) else ()
        return replace(
            self,
            value=mean(whole) if whole else None,
            spread=spread(whole) if whole else None,
            by_seed=whole,
            points=points,
            delta_b=delta_b,
            epoch=reports[0].epoch,
            step=reports[0].step,
        )

    def after_end(self, end: Ended) -> "Trial":
        """Return the trial as it has ended."""
        return replace(
            self,
            state=end.state,
            value=end.value,
            spread=end.spread,
            points=end.points,
            delta_b=end.delta_b,
            epoch=end.epoch,
            step=end.step,
            reason=end.reason,
        )


def trial_name(number: int) -> str:
    """Return what a trial is called. number: from 0."""
    return f"t{number + 1:03d}"


def run_names(trial: str, seeds: int) -> list[str]:
    """Return what the runs of a trial are called, in the order of their seeds."""
    return [trial] if seeds == 1 else [f"{trial}s{number + 1}" for number in range(seeds)]


def _mean_points(reports: Sequence[Reported]) -> dict[str, float]:
    names = [name for name in reports[0].points if all(name in one.points for one in reports)]
    return {name: mean([one.points[name] for one in reports]) for name in names}


def _mean_delta_b(reports: Sequence[Reported]) -> float | None:
    values = [one.delta_b for one in reports if one.delta_b is not None]
    return mean(values) if len(values) == len(reports) else None
