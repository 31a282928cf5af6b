"""The lines of a search's journal: all that was decided and reported, in order.

Everything else about a search follows from them. Trials are called t001, t002, ...; a run of a
trial is called like it, or t001s1, t001s2, ... where trials have several seeds. Times are in
seconds since 1970. A metric is in percent.
"""

from dataclasses import dataclass
from enum import StrEnum

from orchestrator.typed_json import Values


class TrialState(StrEnum):
    """How far a trial is."""

    PLANNED = "planned"
    RUNNING = "running"
    FINISHED = "finished"
    STOPPED_EARLY = "stopped early"
    """By the scheduler."""
    STOPPED = "stopped"
    """By a person."""
    OUT_OF_BUDGET = "out of budget"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether nothing more comes."""
        return self not in (TrialState.PLANNED, TrialState.RUNNING)


class How(StrEnum):
    """How a run left its workers."""

    FINISHED = "finished"
    PARKED = "parked"
    """It waits at the epoch up to which it was handed out, or where its search asked it to save."""
    STOPPED = "stopped"
    """A person has stopped it, by name."""
    FAILED = "failed"


@dataclass(frozen=True)
class Opened:
    """The first line: what a reader needs to know about the search; again when it is extended.

    keys: the searched ones. trials: how many are planned. epochs: of a whole run. workers: of each.
    """

    time: float
    name: str
    metric: str
    direction: str
    keys: tuple[str, ...]
    log_keys: tuple[str, ...]
    trials: int
    seeds: int
    scheduler: str
    searcher: str
    epochs: int
    workers: int


@dataclass(frozen=True)
class Attempt:
    """A driver has begun, from 1."""

    time: float
    number: int


@dataclass(frozen=True)
class Planned:
    """A trial and its settings. origin: where they come from, in a word (prior, near, anywhere;
    found: in the folder of a run that was begun with them).
    """

    time: float
    trial: str
    settings: Values
    origin: str


@dataclass(frozen=True)
class Began:
    """A run was handed to a group of workers."""

    time: float
    run: str
    group: str
    workers: int


@dataclass(frozen=True)
class Reported:
    """A run was evaluated after an epoch, from 1. step: of the run. delta_b: if there is one."""

    time: float
    run: str
    epoch: int
    step: int
    points: dict[str, float]
    delta_b: float | None


@dataclass(frozen=True)
class Left:
    """A run left its workers. reason: of a failure."""

    time: float
    run: str
    how: How
    reason: str = ""


@dataclass(frozen=True)
class Asked:
    """A trial's runs are about to be asked to save and end. state: what the trial becomes then."""

    time: float
    trial: str
    state: TrialState
    reason: str


@dataclass(frozen=True)
class Ended:
    """A trial has ended.

    value: the mean of its seeds at the last epoch that all of them reached, None without one.
    spread: largest less smallest of the seeds, None for a single one. points, delta_b: means as
    well. epoch, step: of the value.
    """

    time: float
    trial: str
    state: TrialState
    value: float | None
    spread: float | None
    points: dict[str, float]
    delta_b: float | None
    epoch: int
    step: int
    reason: str


@dataclass(frozen=True)
class Closed:
    """The search is over. reason: why it failed, if it did; some trials may not have ended then."""

    time: float
    reason: str = ""


Record = Opened | Attempt | Planned | Began | Reported | Left | Asked | Ended | Closed


def trial_of(run: str) -> str:
    """Return the trial of a run: t007 of t007s1."""
    return run.partition("s")[0]
