"""The table of schedulers: what stops a trial that is not worth its epochs."""

from collections.abc import Sequence
from typing import Protocol

from pydantic import BaseModel

from models.table import resolve
from orchestrator.job.search import Search

SCHEDULERS = {
    "none": "orchestrator.search.schedulers:NoScheduler",
    "asha": "orchestrator.search.tune:Asha",
    "median": "orchestrator.search.median:Median",
}


class Scheduler(Protocol):
    """Judges trials by what they reach, epoch by epoch.

    It is asked once for each epoch of a trial before the last, in the order of the reports, until
    it says stop; a resumed search asks all of it again. Values are finite.
    """

    def __init__(self, section: BaseModel, *, epochs: int, direction: str) -> None:
        """Take `search.scheduler`, the epochs of a whole run, and max or min."""

    @property
    def rungs(self) -> Sequence[int]:
        """The epochs before the last after which a trial may be stopped, from 1, ascending.

        The seeds of a trial wait for each other there, and only their mean is judged.
        """

    def verdict(self, trial: str, epoch: int, value: float) -> str:
        """Return why a trial should stop after an epoch, from 1; nothing to let it go on."""


def scheduler_of(search: Search, epochs: int) -> Scheduler:
    """Return the scheduler of a search. epochs: of a whole run."""
    kind: type[Scheduler] = resolve(SCHEDULERS, search.scheduler.name)
    return kind(search.scheduler, epochs=epochs, direction=search.direction)


class NoScheduler:
    """Lets every trial train to its end."""

    rungs: Sequence[int] = ()

    def __init__(self, section: BaseModel, *, epochs: int, direction: str) -> None:
        pass

    def verdict(self, trial: str, epoch: int, value: float) -> str:
        """Return nothing."""
        return ""
