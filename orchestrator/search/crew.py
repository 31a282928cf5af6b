"""What a search needs from whatever trains its trials: groups of workers, or a table of results."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrator.job.space import Settings
from orchestrator.search.records import Began, Left, Reported
from orchestrator.typed_json import Values

News = Began | Reported | Left


@dataclass(frozen=True)
class Leg:
    """A stretch of a run that a group of workers trains, from wherever the run is.

    seed: number of the run within its trial, from 0. until: the epoch after which the run parks, if
    it is not the last one.
    """

    trial: str
    run: str
    settings: Settings
    seed: int
    until: int | None


class Crew(Protocol):
    """Trains legs, side by side, and tells what becomes of them.

    A run's news come in order: Began, Reported for each epoch, Left. What is in the journal may be
    told again after a resume; the conductor keeps each (run, epoch) once. A run that saves and ends
    because it is asked to has parked, unless a person has named it: then it has stopped.
    """

    def now(self) -> float:
        """Return the time, in seconds since 1970, or simulated."""

    def free(self) -> int:
        """Return how many more legs could be handed out now; 0 when the search is asked to stop."""

    def hand(self, leg: Leg) -> None:
        """Take a leg: make the run's folder and record, and train it as soon as a group is free."""

    def job_of(self, run: str) -> Values | None:
        """Return the values of the job with which a run was begun before; None if it was not."""

    def ask_to_stop(self, run: str) -> None:
        """Ask a run to save and end; its Left follows."""

    def stop_is_asked(self) -> bool:
        """Return whether the whole search is asked to save and end; then every leg comes back."""

    def news(self, within: float) -> Sequence[News]:
        """Return what has happened, waiting for at most so many seconds of `now`."""
