"""The search section of a job: which keys are searched, by what, and for how long."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from orchestrator.job.source import Values
from orchestrator.job.space import Axis

MOST_TRIALS = 10_000
MOST_SEEDS = 1000


class NoScheduler(BaseModel, frozen=True, extra="forbid"):
    """Every trial trains to its end."""

    name: Literal["none"] = "none"


class Asha(BaseModel, frozen=True, extra="forbid"):
    """Asynchronous successive halving (Li et al. 2020): after each rung the best 1/factor go on."""

    name: Literal["asha"]
    grace: int = Field(1, ge=1, description="epochs that every trial trains; the first rung")
    factor: int = Field(3, ge=2, description="one in so many goes on to the next rung")


class Median(BaseModel, frozen=True, extra="forbid"):
    """Stops a trial below the median of the others' running means (Golovin et al. 2017)."""

    name: Literal["median"]
    grace: int = Field(1, ge=1, description="epochs that every trial trains")
    least: int = Field(3, ge=1, description="trials that must have come as far before one stops")


class Pbt(BaseModel, frozen=True, extra="forbid"):
    """Population-based training (Jaderberg et al. 2017): the last take over the first's weights."""

    name: Literal["pbt"]
    every: int = Field(1, ge=1, description="epochs between two comparisons")
    quantile: float = Field(0.25, gt=0, le=0.5, description="share of trials that are replaced")


class RandomSearcher(BaseModel, frozen=True, extra="forbid"):
    """Draws every setting from the whole space."""

    name: Literal["random"] = "random"


class GridSearcher(BaseModel, frozen=True, extra="forbid"):
    """Tries all combinations of the listed values in turn."""

    name: Literal["grid"]


class PriorSearcher(BaseModel, frozen=True, extra="forbid"):
    """Starts at the priors, looks around them and around what turned out well."""

    name: Literal["prior"]
    exploration: float = Field(
        0.5, ge=0, le=1, description="share of settings that are drawn from the whole space"
    )


class OptunaSearcher(BaseModel, frozen=True, extra="forbid"):
    """Optuna's TPE (Bergstra et al. 2011)."""

    name: Literal["optuna"]


Scheduler = NoScheduler | Asha | Median | Pbt
Searcher = RandomSearcher | GridSearcher | PriorSearcher | OptunaSearcher


class Budget(BaseModel, frozen=True, extra="forbid"):
    """When a search ends before all its trials are done."""

    hours: float | None = Field(None, gt=0, description="of the search, over all its attempts")
    epochs: int | None = Field(None, ge=1, description="of all runs together")


class Search(BaseModel, frozen=True, extra="forbid"):
    """Which settings are tried, how they are compared, and when it ends."""

    space: dict[str, Axis] = Field(min_length=1, description="dotted key of the job -> its values")
    metric: str = Field(
        "delta_b", description="delta_b, mean, worst, or an operating point such as 2bit"
    )
    direction: Literal["max", "min"] = "max"
    trials: int | None = Field(None, ge=1, le=MOST_TRIALS, description="none: all of a grid")
    seeds: int = Field(
        1, ge=1, le=MOST_SEEDS, description="runs of each trial; their mean is compared"
    )
    at_once: int | None = Field(None, ge=1, description="trials; none: as many as fit")
    budget: Budget = Budget()
    scheduler: Annotated[Scheduler, Field(discriminator="name")] = NoScheduler()
    searcher: Annotated[Searcher, Field(discriminator="name")] = RandomSearcher()
    max_failed: int | None = Field(
        None, ge=1, description="failed trials that end the search; none: the larger of 3 and a "
        "quarter of the trials"
    )  # fmt: skip


def axes(search: Search, job_values: Values) -> dict[str, Axis]:
    """Return each axis of a search with the value of its prior, if it has one.

    job_values: of the search's job, `Job.as_dict`; a prior without a value takes the job's own.
    """
    own = flat(job_values)
    return {key: _filled(axis, own.get(key)) for key, axis in search.space.items()}


def fixed(search: Search, job_values: Values) -> Values:
    """Return the values of the keys that conditions refer to and that are not searched."""
    own = flat(job_values)
    wanted = {key for axis in search.space.values() for key in axis.when} - search.space.keys()
    return {key: own[key] for key in own if key in wanted}


def flat(values: Mapping[str, Any], above: str = "") -> Values:
    """Return values, and whole sections, by dotted key."""
    found: Values = {}
    for key, value in values.items():
        found[f"{above}{key}"] = value
        if isinstance(value, dict):
            found |= flat(value, f"{above}{key}.")
    return found


def _filled(axis: Axis, own: Any) -> Axis:
    if axis.prior is None or axis.prior.value is not None:
        return axis
    return axis.model_copy(update={"prior": axis.prior.model_copy(update={"value": own})})
