"""A crew in simulated time, whose runs reach what a function says, and a disk that outlives it."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from orchestrator.job.space import Settings
from orchestrator.search.crew import Leg, News
from orchestrator.search.records import Began, How, Left, Reported

Score = Callable[[Settings, int, int], float]
"""(settings, seed, epoch) -> the value in percent, which may be NaN."""


class Fails(Exception):
    """Raised by a score: the run's workers are gone."""


@dataclass
class Disk:
    """What is left when a driver is killed.

    epochs: that each run has trained. stops: the runs that a person asked to end. jobs: the
    settings of each run. stuck: the runs that park without training.
    """

    now: float = 0.0
    epochs: dict[str, int] = field(default_factory=dict)
    stops: set[str] = field(default_factory=set)
    jobs: dict[str, Settings] = field(default_factory=dict)
    stuck: set[str] = field(default_factory=set)
    trained: list[tuple[str, int]] = field(default_factory=list)


@dataclass(order=True)
class _Working:
    """A leg at work; at: when its next epoch is over."""

    at: float
    number: int
    leg: Leg = field(compare=False)
    stopped: bool = field(default=False, compare=False)


class SimulatedCrew:
    """Groups of workers that need a second for each epoch.

    A leg that is handed out tells first what its run had reported, as after a resume.
    """

    def __init__(self, disk: Disk, score: Score, *, groups: int, epochs: int) -> None:
        self.disk = disk
        self.handed: list[Leg] = []
        self.asked: list[str] = []
        self.stop_after: float = float("inf")
        self._score = score
        self._groups = groups
        self._epochs = epochs
        self._working: list[_Working] = []
        self._ready: list[News] = []

    def now(self) -> float:
        return self.disk.now

    def free(self) -> int:
        return 0 if self.stop_is_asked() else self._groups - len(self._working)

    def stop_is_asked(self) -> bool:
        return self.disk.now >= self.stop_after

    def hand(self, leg: Leg) -> None:
        assert self.free() > 0
        self.handed.append(leg)
        self.disk.jobs[leg.run] = leg.settings
        self._ready.append(Began(self.now(), leg.run, "group", 1))
        for epoch in range(1, self.disk.epochs.get(leg.run, 0) + 1):
            self._ready.append(self._report(leg, epoch))
        heapq.heappush(self._working, _Working(self.now() + 1.0, len(self.handed), leg))

    def job_of(self, run: str) -> Settings | None:
        return self.disk.jobs.get(run)

    def ask_to_stop(self, run: str) -> None:
        self.asked.append(run)
        for one in self._working:
            one.stopped |= one.leg.run == run

    def news(self, within: float) -> Sequence[News]:
        if not self._ready and self._working:
            self._advance(heapq.heappop(self._working))
        elif not self._ready:
            self.disk.now += within
        ready, self._ready = self._ready, []
        return ready

    def _advance(self, one: _Working) -> None:
        """Let a leg come to the end of its epoch, or back where it is not to go on."""
        leg = one.leg
        epoch = self.disk.epochs.get(leg.run, 0)
        if leg.run in self.disk.stops:
            return self._leave(leg, How.STOPPED)
        if one.stopped or self.stop_is_asked() or leg.run in self.disk.stuck:
            return self._leave(leg, How.PARKED)
        if epoch < self._epochs:
            self.disk.now = one.at
            epoch += 1
            try:
                self._ready.append(self._report(leg, epoch))
            except Fails as error:
                return self._leave(leg, How.FAILED, str(error))
            self.disk.epochs[leg.run] = epoch
            self.disk.trained.append((leg.run, epoch))
        if epoch == self._epochs:
            return self._leave(leg, How.FINISHED)
        if epoch == leg.until:
            return self._leave(leg, How.PARKED)
        one.at += 1.0
        heapq.heappush(self._working, one)
        return None

    def _leave(self, leg: Leg, how: How, reason: str = "") -> None:
        self._ready.append(Left(self.now(), leg.run, how, reason))

    def _report(self, leg: Leg, epoch: int) -> Reported:
        value = self._score(leg.settings, leg.seed, epoch)
        return Reported(self.now(), leg.run, epoch, 10 * epoch, {"2bit": value}, None)
