"""How a search stands: all that follows from the records of its journal.

Times and durations are in seconds; worker-seconds are those of all workers of a run together.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from orchestrator.search.objective import mean, rank
from orchestrator.search.records import (
    Asked,
    Attempt,
    Began,
    Closed,
    Ended,
    How,
    Left,
    Opened,
    Planned,
    Record,
    Reported,
    TrialState,
    trial_of,
)
from orchestrator.search.trial import Run, Stretch, Trial, run_names


class Best(NamedTuple):
    """From so many worker-seconds on, a trial was the best of the finished ones."""

    worker_seconds: float
    trial: str
    value: float


class Standing:
    """The state of a search, which grows with every record of its journal.

    opened, closed: the first and the last record, where there are such. attempts: how many drivers
    have begun. asked: the trials whose runs were asked to end. curve: how the best finished trial
    became better. living: the names of the trials that have not ended, in order. epochs: of all
    runs together. time: of the last record.
    """

    def __init__(self) -> None:
        self.opened: Opened | None = None
        self.closed: Closed | None = None
        self.attempts = 0
        self.time = 0.0
        self.trials: dict[str, Trial] = {}
        self.runs: dict[str, Run] = {}
        self.asked: dict[str, Asked] = {}
        self.curve: list[Best] = []
        self.living: dict[str, None] = {}
        self.epochs = 0
        self._spent = 0.0
        self._began = self._before = 0.0

    @classmethod
    def of(cls, records: Iterable[Record]) -> "Standing":
        """Return the standing after some records."""
        standing = cls()
        for record in records:
            standing.add(record)
        return standing

    def add(self, record: Record) -> None:
        """Take a record in; one of a trial that is not known is skipped."""
        if isinstance(record, Attempt):
            self._interrupt()
        if not (isinstance(record, Opened) and self.attempts):  # no driver worked until then
            self.time = record.time
        if self._is_known(record):
            self._take(record)

    @property
    def counts(self) -> dict[TrialState, int]:
        """How many trials are in each state, those of which there are none left out."""
        found = Counter(trial.state for trial in self.trials.values())
        return {state: found[state] for state in TrialState if found[state]}

    @property
    def ended(self) -> list[Trial]:
        """The trials that have ended, in the order of their names."""
        return [trial for trial in self.trials.values() if trial.state.ended]

    @property
    def running(self) -> list[Trial]:
        """The trials of which a run was begun and that have not ended."""
        return [trial for trial in self.trials.values() if trial.state == TrialState.RUNNING]

    @property
    def best(self) -> Trial | None:
        """The best of the finished trials; else of all that have a value."""
        finished = [t for t in self.trials.values() if t.state == TrialState.FINISHED]
        return next(iter(self.ranked(finished) or self.ranked(self.trials.values())), None)

    def ranked(self, trials: Iterable[Trial]) -> list[Trial]:
        """Return those of some trials that have a value, the best first."""
        assert self.opened is not None
        rated = [(t, rank(t.value, self.opened.direction)) for t in trials if t.value is not None]
        return [trial for trial, _ in sorted(rated, key=lambda one: one[1], reverse=True)]

    def runs_of(self, trial: str) -> list[Run]:
        """Return the runs of a trial that were begun, in the order of their seeds."""
        assert self.opened is not None
        names = run_names(trial, self.opened.seeds)
        return [self.runs[name] for name in names if name in self.runs]

    def worker_seconds(self, now: float) -> float:
        """Return what all runs have taken up to a time."""
        return self._spent + sum(stretch.worker_seconds for stretch in self._open(now))

    def elapsed(self, now: float) -> float:
        """Return how long drivers were at work, of all attempts together."""
        return self._before + (now - self._began if self.attempts else 0.0)

    def eta_seconds(self, now: float) -> float | None:
        """Return how long the search will still take; None before a trial has ended.

        It takes every trial for as long as the mean of those that have ended without failing, and
        as many workers at once as work now.
        """
        sample = [t.worker_seconds for t in self.ended if t.state != TrialState.FAILED]
        if self.opened is None or not sample:
            return None
        usual, working = mean(sample), self._open(now)
        spent = {t.name: t.worker_seconds for t in self.trials.values() if not t.state.ended}
        for stretch in working:
            spent[trial_of(stretch.run)] += stretch.worker_seconds
        unplanned = max(self.opened.trials - len(self.trials), 0)
        rest = unplanned * usual + sum(max(usual - seconds, 0.0) for seconds in spent.values())
        return rest / (sum(stretch.workers for stretch in working) or self.opened.workers)

    def _take(self, record: Record) -> None:
        match record:
            case Opened():
                self.opened = record
            case Attempt():
                self.attempts, self.closed, self._began = record.number, None, record.time
            case Planned():
                self.trials[record.trial] = Trial(record.trial, record.settings, record.origin)
                self.living[record.trial] = None
            case Began():
                self._begin(record)
            case Reported():
                self._report(record)
            case Left():
                self._leave(record)
            case Asked():
                self.asked[record.trial] = record
            case Ended():
                self._end(record)
            case Closed():
                self.closed = record

    def _is_known(self, record: Record) -> bool:
        match record:
            case Began() | Reported() | Left():
                return trial_of(record.run) in self.trials
            case Asked() | Ended():
                return record.trial in self.trials
            case Planned():
                return self.opened is not None
        return True

    def _open(self, now: float) -> list[Stretch]:
        """Return the stretches that are not over, as if they ended now."""
        began = [run.began for run in self.runs.values() if run.began]
        return [Stretch(one.run, one.time, max(now, one.time), one.workers) for one in began]

    def _begin(self, record: Began) -> None:
        run = self._run(record.run)
        self._close_stretch(run, record.time)
        run.began, run.left = record, None
        trial = self.trials[trial_of(record.run)]
        self.trials[trial.name] = replace(trial, state=TrialState.RUNNING)

    def _report(self, record: Reported) -> None:
        assert self.opened is not None
        run = self._run(record.run)
        if record.epoch not in run.reports:
            self.epochs += 1
            run.parks = 0
        run.reports[record.epoch] = record
        trial, runs = self.trials[trial_of(record.run)], self.runs_of(trial_of(record.run))
        if len(runs) == self.opened.seeds:
            self.trials[trial.name] = trial.after_reports(runs, self.opened.metric)

    def _leave(self, record: Left) -> None:
        run = self._run(record.run)
        self._close_stretch(run, record.time)
        run.left = record
        run.parks += record.how == How.PARKED

    def _end(self, record: Ended) -> None:
        for run in self.runs_of(record.trial):
            self._close_stretch(run, record.time)
        trial = self.trials[record.trial].after_end(record)
        self.trials[trial.name] = trial
        self.living.pop(trial.name, None)
        if trial.state == TrialState.FINISHED and trial.value is not None:
            self._compare(trial.name, trial.value)

    def _compare(self, trial: str, value: float) -> None:
        """Note a finished trial that is better than all before it."""
        assert self.opened is not None
        sign = self.opened.direction
        if not self.curve or rank(value, sign) > rank(self.curve[-1].value, sign):
            self.curve.append(Best(self.worker_seconds(self.time), trial, value))

    def _interrupt(self) -> None:
        """Close the stretches of a driver that is gone: when it last wrote."""
        if self.attempts:
            self._before += self.time - self._began
        for run in self.runs.values():
            self._close_stretch(run, self.time)
            run.parks = 0

    def _close_stretch(self, run: Run, at: float) -> None:
        if run.began:
            stretch = Stretch(run.name, run.began.time, at, run.began.workers)
            trial = self.trials[trial_of(run.name)]
            self.trials[trial.name] = replace(trial, stretches=(*trial.stretches, stretch))
            self._spent += stretch.worker_seconds
            run.began = None

    def _run(self, name: str) -> Run:
        return self.runs.setdefault(name, Run(name))
