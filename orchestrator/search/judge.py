"""What becomes of a trial: it fails, finishes, is stopped, or goes on."""

from collections.abc import Sequence
from typing import NamedTuple

from orchestrator.job.search import Search
from orchestrator.search.objective import mean, objective
from orchestrator.search.records import How, Record, Reported, TrialState, trial_of
from orchestrator.search.schedulers import scheduler_of
from orchestrator.search.standing import Standing
from orchestrator.search.trial import Run

MOST_PARKS = 2
"""A run parks at its rung, and once more if the search is stopped in its next leg. One that parks
more often without a new epoch would never get further: its trial fails."""


class Sentence(NamedTuple):
    """What a trial becomes, and why."""

    state: TrialState
    reason: str


class Judge:
    """Hears every record after the standing has taken it in, those of earlier attempts as well.

    rungs: the epochs at which the seeds of a trial wait for each other, and for a verdict.
    """

    def __init__(self, search: Search, standing: Standing, epochs: int) -> None:
        self._metric = search.metric
        self._seeds = search.seeds
        self._standing = standing
        self._scheduler = scheduler_of(search, epochs)
        self.rungs = self._scheduler.rungs if search.seeds > 1 else ()
        self._judged: Sequence[int] = self.rungs or range(1, epochs)
        self._passed: set[tuple[str, int]] = set()
        self._sentences: dict[str, Sentence] = {}

    def hear(self, record: Record) -> None:
        """Judge a trial by what a run of it has reported."""
        if isinstance(record, Reported) and self._is_open(trial_of(record.run)):
            self._judge(trial_of(record.run), record)

    def passed(self, trial: str, epoch: int) -> bool:
        """Return whether a trial may go on behind an epoch, as far as its seeds are concerned."""
        return epoch not in self.rungs or (trial, epoch) in self._passed

    def next_rung(self, epoch: int) -> int | None:
        """Return up to which epoch a run trains that has come to an epoch; None for the last."""
        return next((rung for rung in self.rungs if rung > epoch), None)

    def sentence(self, trial: str) -> Sentence | None:
        """Return what a trial becomes by what has happened to it; None while it goes on."""
        found = self._sentences.get(trial) or self._failure(trial)
        if found and found.state == TrialState.FAILED:
            return found
        lefts = [run.left.how for run in self._standing.runs_of(trial) if run.left]
        if lefts.count(How.FINISHED) == self._seeds:
            return Sentence(TrialState.FINISHED, "")
        if trial in self._standing.asked:
            return Sentence(self._standing.asked[trial].state, self._standing.asked[trial].reason)
        return found or (Sentence(TrialState.STOPPED, "") if How.STOPPED in lefts else None)

    def _is_open(self, trial: str) -> bool:
        settled = trial in self._sentences or trial in self._standing.asked
        return trial in self._standing.living and not settled

    def _judge(self, trial: str, record: Reported) -> None:
        reports = [run.reports.get(record.epoch) for run in self._standing.runs_of(trial)]
        there = [report for report in reports if report]
        values = [objective(self._metric, one.points, one.delta_b) for one in there]
        finite = [value for value in values if value is not None]
        if len(finite) < len(there):
            reason = f"after epoch {record.epoch} there is no finite {self._metric}"
            self._sentences[trial] = Sentence(TrialState.FAILED, reason)
        elif record.epoch in self._judged and len(there) == self._seeds:
            self._passed.add((trial, record.epoch))
            if reason := self._scheduler.verdict(trial, record.epoch, mean(finite)):
                self._sentences[trial] = Sentence(TrialState.STOPPED_EARLY, reason)

    def _failure(self, trial: str) -> Sentence | None:
        found = map(_failure_of, self._standing.runs_of(trial))
        return next((failure for failure in found if failure), None)


def _failure_of(run: Run) -> Sentence | None:
    """Return that a run fails its trial, and why; None if it does not."""
    if run.left and run.left.how == How.FAILED:
        return Sentence(TrialState.FAILED, run.left.reason)
    if run.parks > MOST_PARKS:
        reason = f"{run.name} parked {run.parks} times after epoch {run.epoch}, without a new one"
        return Sentence(TrialState.FAILED, reason)
    return None
