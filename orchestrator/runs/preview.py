"""What a search would do, before anything starts: its space, its first trials, and how long."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.cluster import local
from orchestrator.cluster.capacity import Capacity, Demand
from orchestrator.cluster.target import Target
from orchestrator.errors import OrchError
from orchestrator.job.corners import number_of_corners
from orchestrator.job.search import Search, axes
from orchestrator.job.space import KINDS, Axis
from orchestrator.runs.measured import measured
from orchestrator.runs.submission import demand
from orchestrator.search.searchers import searcher_of
from orchestrator.search.space import Space
from orchestrator.search.trial import Trial, trial_name
from orchestrator.typed_json import Values
from orchestrator.wording import shown

if TYPE_CHECKING:
    from orchestrator.job.schema import Job

SHOWN_TRIALS = 5


@dataclass(frozen=True)
class AxisOutlook:
    """An axis: its key, kind, values or range, prior and conditions, in words."""

    key: str
    kind: str
    range: str
    prior: str
    when: str


@dataclass(frozen=True)
class TrialOutlook:
    """A trial that would be among the first. origin: where its settings come from, in a word."""

    trial: str
    settings: Values
    origin: str


@dataclass(frozen=True)
class Duration:
    """At most how long a search takes, by what a former run measured."""

    hours: float
    epoch_seconds: float
    measured_by: str


@dataclass(frozen=True)
class SearchOutlook:
    """What a search would do.

    corners: how many were checked. runs_at_once: how many fit, as far as search.at_once allows;
    None where the cluster does not tell. cluster: what it has. duration: None where nothing was
    measured.
    """

    axes: tuple[AxisOutlook, ...]
    corners: int
    metric: str
    direction: str
    trials: int
    seeds: int
    epochs: int
    scheduler: str
    searcher: str
    budget: str
    first: tuple[TrialOutlook, ...]
    runs_at_once: int | None
    cluster: str
    duration: Duration | None


def search_outlook(job: "Job", search: Search, target: Target | None) -> SearchOutlook:
    """Return what the search of a job would do. Starts nothing."""
    values = job.as_dict()
    space = Space.of(search, values)
    trials = space.trials(search.trials)
    offered = _offered(job, target)
    at_once = _runs_at_once(job, search, trials, offered) if offered else None
    return SearchOutlook(
        axes=tuple(_axis(key, axis) for key, axis in axes(search, values).items()),
        corners=number_of_corners(job, search),
        metric=search.metric,
        direction=search.direction,
        trials=trials,
        seeds=search.seeds,
        epochs=job.epochs,
        scheduler=search.scheduler.name,
        searcher=search.searcher.name,
        budget=_budget(search),
        first=_first(search, space, job.seed, min(trials, SHOWN_TRIALS)),
        runs_at_once=at_once,
        cluster=offered.sentence() if offered else "",
        duration=_duration(job, search, trials * search.seeds, at_once, target),
    )


def _budget(search: Search) -> str:
    """Return when the search ends even if trials are left; nothing where it does not."""
    limits = {"hours": search.budget.hours, "epochs": search.budget.epochs}
    return " or ".join(f"{most:g} {what}" for what, most in limits.items() if most is not None)


def _first(search: Search, space: Space, seed: int, count: int) -> tuple[TrialOutlook, ...]:
    """Return the trials that are proposed before any has ended."""
    searcher = searcher_of(search, space, seed)
    history: list[Trial] = []
    shown: list[TrialOutlook] = []
    for number in range(count):
        proposal = searcher.suggest(number, history)
        if proposal is None:
            break
        name = trial_name(number)
        history.append(Trial(name, proposal.settings, proposal.origin))
        shown.append(TrialOutlook(name, proposal.settings, proposal.origin))
    return tuple(shown)


def _axis(key: str, axis: Axis) -> AxisOutlook:
    kind = next(kind for kind in KINDS if getattr(axis, kind) is not None)
    if axis.values is not None:
        values = ", ".join(map(shown, axis.values))
    else:
        lowest, highest = axis.bounds
        step = f", step {axis.step:g}" if axis.step else ""
        values = f"{lowest:g} to {highest:g}{step}"
    prior = f"{shown(axis.prior.value)}, width {axis.prior.width:g}" if axis.prior else "-"
    when = ", ".join(f"{other} is {shown(value)}" for other, value in axis.when.items())
    return AxisOutlook(key, kind, values, prior, when)


def _offered(job: "Job", target: Target | None) -> Capacity | None:
    try:
        if target is None:
            return local.offer(with_gpus=job.cluster.gpus_per_worker != 0)
        return target.client().capacity()
    except OrchError:  # the check of the job tells it
        return None


def _runs_at_once(job: "Job", search: Search, trials: int, offered: Capacity) -> int:
    asked = _asked(job, offered)
    fit = offered.slots(asked) // asked.num_workers
    return min(fit, (search.at_once or trials) * search.seeds, trials * search.seeds)


def _asked(job: "Job", offered: Capacity) -> Demand:
    """Return what a run asks of a cluster: a GPU for each worker where it takes all it can get."""
    asked = demand(job)
    with_gpus = replace(asked, gpus_per_worker=1)
    takes = job.cluster.gpus_per_worker == "auto" and offered.slots(with_gpus) >= asked.num_workers
    return with_gpus if takes else asked


def _duration(
    job: "Job", search: Search, runs: int, at_once: int | None, target: Target | None
) -> Duration | None:
    url = target.client().url if target and at_once is not None else None
    found = measured(job.as_dict(), search.space, url) if at_once else None
    if found is None or not at_once:
        return None
    rounds = math.ceil(runs / at_once)
    hours = rounds * job.epochs * found.epoch_seconds / 3600
    return Duration(hours, found.epoch_seconds, found.run)
