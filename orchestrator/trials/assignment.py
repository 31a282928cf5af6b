"""A leg on its way: all that a group of workers needs for it, and what has become of it."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from orchestrator.data import metric_of
from orchestrator.errors import JobFailed
from orchestrator.events import Event, Failed, Stopped, of_trial
from orchestrator.job.schema import Job
from orchestrator.run_facts import Events, go_on
from orchestrator.search.crew import Leg
from orchestrator.search.records import How
from orchestrator.store.run_folder import RunFolder
from orchestrator.track.delta_b import ReferenceResults
from orchestrator.train import driver
from orchestrator.train.losses import Losses
from orchestrator.train.member import Outcome, Task
from orchestrator.train.supervise import STOPPED
from orchestrator.train.why_lost import why_lost
from orchestrator.train.worker import Run
from orchestrator.trials.group import Group, Shape
from orchestrator.trials.tail import Tail


@dataclass
class Assignment:
    """A leg, the folder and the job of its run, and the workers that it needs.

    group: that trains it now. asked: since when the search asks it to save and end, by the clock
    that never jumps.
    """

    leg: Leg
    folder: RunFolder
    job: Job
    shape: Shape
    losses: Losses
    tail: Tail
    group: Group | None = None
    asked: float | None = None

    @classmethod
    def of(cls, leg: Leg, folder: RunFolder, job: Job, shape: Shape) -> "Assignment":
        """Return a leg that no group has yet."""
        losses = Losses(folder.name, folder, job.cluster.max_failures)
        return cls(leg, folder, job, shape, losses, Tail(leg.run, folder, metric_of(job.data)))

    def start(self, group: Group, reference: ReferenceResults | None) -> None:
        """Hand the leg to a group."""
        self.group = group
        with suppress(OSError):  # the state of a trial is in the search's journal, too
            go_on(self.folder)
        run = Run(self.folder, reference)
        group.hand(Task(self.leg.run, self.job.as_dict(), run, self.leg.until))

    def ask_to_stop(self) -> None:
        """Ask the leg to save and end, once, as the search."""
        if self.asked is None:
            self.asked = time.monotonic()
            self.folder.ask_to_stop()

    def lose(self, errors: Mapping[int, Exception]) -> None:
        """Say that the leg is begun again after a loss. Raises JobFailed after too many."""
        self.group = None
        with of_trial(self.leg.run):
            self.losses.add(why_lost(errors))

    def conclude(self, outcome: Outcome) -> None:
        """Keep in the run's folder how the leg ended, as the driver of a plain run does.

        Raises JobFailed when the results are damaged.
        """
        with of_trial(self.leg.run):
            match outcome.how:
                case How.FINISHED:
                    self._say(driver.results_of(self.folder))
                case How.FAILED:
                    self._say(Failed(message=outcome.reason, exit_code=JobFailed.exit_code))
                case How.STOPPED:
                    self._say(Stopped(message=STOPPED))

    def _say(self, event: Event) -> None:
        Events(self.folder).say(event)
