"""The search section of a job: which keys are searched, by what, and for how long."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from orchestrator.job.space import Axis


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
    trials: int | None = Field(None, ge=1, description="none: all of a grid")
    seeds: int = Field(1, ge=1, description="runs of each trial; their mean is compared")
    at_once: int | None = Field(None, ge=1, description="trials; none: as many as fit")
    budget: Budget = Budget()
    scheduler: Annotated[Scheduler, Field(discriminator="name")] = NoScheduler()
    searcher: Annotated[Searcher, Field(discriminator="name")] = RandomSearcher()
    max_failed: int | None = Field(
        None, ge=1, description="failed trials that end the search; none: the larger of 3 and a "
        "quarter of the trials"
    )  # fmt: skip
