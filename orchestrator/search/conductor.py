"""The conductor of a search: plans trials, hands out their legs, writes down what becomes of them.

Whatever is done next follows from the journal alone, so a search goes on from any of its lines.
A line is written before what it announces is done: a trial is planned, then handed out; it is asked
to end in the journal, then its runs are.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count, islice

from orchestrator.job.search import Search
from orchestrator.search.crew import Crew, Leg, News
from orchestrator.search.failures import nothing_finished, too_many_failed
from orchestrator.search.journal import SearchJournal
from orchestrator.search.judge import Judge, Sentence
from orchestrator.search.records import (
    Asked,
    Attempt,
    Closed,
    Ended,
    Left,
    Opened,
    Planned,
    Record,
    Reported,
    TrialState,
    trial_of,
)
from orchestrator.search.searchers import Proposal, searcher_of
from orchestrator.search.space import Space
from orchestrator.search.standing import Standing
from orchestrator.search.trial import run_names, trial_name

WITHIN = 1.0
"""Seconds after which requests to stop and the budget are looked at, when there are no news."""

Tell = Callable[[Record, Standing], None]
"""Hears of each new record once it is in the journal, and of the standing after it."""


class Conductor:
    """A search from its beginning, or from where its journal ends, to its end.

    standing: what the journal says so far; it is read when the conductor is made. A run that parks
    again and again without a new epoch is not handed out forever: its trial fails, see MOST_PARKS.
    """

    def __init__(
        self,
        search: Search,
        space: Space,
        journal: SearchJournal,
        crew: Crew,
        tell: Tell,
        *,
        opened: Opened,
        seed: int,
    ) -> None:
        """Read the journal. opened: its first line, see `opening`. seed: of the search's job."""
        self._search = search
        self._journal = journal
        self._crew = crew
        self._tell = tell
        self._space = space
        self._searcher = searcher_of(search, space, seed)
        self._opened = opened
        self._handed: set[str] = set()
        self._exhausted = False
        self._given_up = ""
        self.standing = Standing()
        self._judge = Judge(search, self.standing, opened.epochs)
        for record in journal.read().records:
            self._take(record)

    def run(self) -> Standing:
        """Conduct the search to its end, or until it is asked to stop; then nothing is closed."""
        now = self._crew.now()
        if self.standing.opened != replace(self._opened, time=self._first_time(now)):
            self._write(replace(self._opened, time=now))
        self._write(Attempt(now, self.standing.attempts + 1))
        self._given_up = too_many_failed(self.standing, self._most_failed())
        self._settle_all()
        while self._goes_on():
            self._hand_out()
            for news in self._crew.news(WITHIN):
                self._hear(news)
            self._settle_all()
        if self._given_up or not self._is_unfinished():
            reason = self._given_up or nothing_finished(self.standing)
            self._write(Closed(self._crew.now(), reason))
        return self.standing

    def _goes_on(self) -> bool:
        if self._handed:
            return True
        if self._given_up or self._crew.stop_is_asked():
            return False
        return self._is_unfinished()

    def _is_unfinished(self) -> bool:
        return bool(self.standing.living) or self._may_plan()

    def _first_time(self, now: float) -> float:
        return self.standing.opened.time if self.standing.opened else now

    # --- What happens -----------------------------------------------------------------------------

    def _take(self, record: Record) -> None:
        self.standing.add(record)
        self._judge.hear(record)

    def _write(self, record: Record) -> None:
        self._journal.append(record)
        self._take(record)
        self._tell(record, self.standing)

    def _hear(self, news: News) -> None:
        """Write down news, but for an epoch that is known already."""
        known = self.standing.runs.get(news.run)
        if isinstance(news, Reported) and known and news.epoch in known.reports:
            return
        self._write(news)
        if isinstance(news, Left):
            self._handed.discard(news.run)
        self._settle(trial_of(news.run))

    # --- What becomes of trials -------------------------------------------------------------------

    def _settle_all(self) -> None:
        for trial in list(self.standing.living):
            self._settle(trial)

    def _settle(self, trial: str) -> None:
        """End a trial that does not go on, once its runs are back; before that, ask them to end."""
        sentence = self._sentence(trial)
        if trial not in self.standing.living or sentence is None:
            return
        out = [run for run in self._runs(trial) if run in self._handed]
        if not out:
            self._end(trial, sentence)
        elif trial not in self.standing.asked:
            self._write(Asked(self._crew.now(), trial, *sentence))
            for run in out:
                self._crew.ask_to_stop(run)

    def _sentence(self, trial: str) -> Sentence | None:
        found = self._judge.sentence(trial)
        if found is None and (spent := self._spent_budget()):
            return Sentence(TrialState.OUT_OF_BUDGET, spent)
        return found

    def _end(self, trial: str, sentence: Sentence) -> None:
        at, failed = self.standing.trials[trial], sentence.state == TrialState.FAILED
        self._write(
            Ended(
                self._crew.now(),
                trial,
                sentence.state,
                None if failed else at.value,
                None if failed else at.spread,
                at.points,
                at.delta_b,
                at.epoch,
                at.step,
                sentence.reason,
            )
        )
        if failed and not self._given_up:
            self._given_up = too_many_failed(self.standing, self._most_failed())
            # Not in the journal: it follows from the failures, and goes when more are allowed.
            for run in self._handed if self._given_up else ():
                self._crew.ask_to_stop(run)

    def _most_failed(self) -> int:
        return self._search.max_failed or max(3, self._opened.trials // 4)

    # --- What is trained next ---------------------------------------------------------------------

    def _hand_out(self) -> None:
        while not self._given_up and self._crew.free() > 0 and (leg := self._next_leg()):
            self._handed.add(leg.run)
            self._crew.hand(leg)

    def _next_leg(self) -> Leg | None:
        """Return a leg of a trial that was begun or planned, else of a new one."""
        for trial in islice(self.standing.living, self._search.at_once):
            for leg in self._ready(trial):
                return leg
        planned = self._plan() if self._may_plan() else ""
        return next(self._ready(planned), None) if planned else None

    def _ready(self, trial: str) -> Iterator[Leg]:
        if self._sentence(trial):
            return
        for seed, run in enumerate(self._runs(trial)):
            known = self.standing.runs.get(run)
            epoch = known.epoch if known else 0
            over = run in self._handed or (known is not None and known.over)
            if not over and self._judge.passed(trial, epoch):
                settings = self.standing.trials[trial].settings
                yield Leg(trial, run, settings, seed, self._judge.next_rung(epoch))

    def _may_plan(self) -> bool:
        if self._exhausted or self._spent_budget():
            return False
        at_once = self._search.at_once or len(self.standing.living) + 1
        unplanned = len(self.standing.trials) < self._opened.trials
        return unplanned and len(self.standing.living) < at_once

    def _plan(self) -> str:
        """Plan a trial and return its name; nothing when there is nothing left to try."""
        number = self._next_number()
        name = trial_name(number)
        history = tuple(self.standing.trials.values())
        proposal = self._begun_before(name) or self._searcher.suggest(number, history)
        if proposal is None:
            self._exhausted = True
            return ""
        self._write(Planned(self._crew.now(), name, *proposal))
        return name

    def _begun_before(self, trial: str) -> Proposal | None:
        """Return what a trial was begun with whose line was lost."""
        job = self._crew.job_of(self._runs(trial)[0])
        settings = self._space.settings_in(job) if job else None
        return Proposal(settings, "found") if settings else None

    def _next_number(self) -> int:
        """Return the number of the next trial, first of one whose line was lost."""
        known = self.standing.trials
        if not known or trial_name(len(known) - 1) == next(reversed(known)):
            return len(known)
        return next(number for number in count() if trial_name(number) not in known)

    def _spent_budget(self) -> str:
        """Return which budget is spent; nothing if none is."""
        budget = self._search.budget
        if budget.epochs and self.standing.epochs >= budget.epochs:
            return f"search.budget.epochs = {budget.epochs} is spent"
        if budget.hours and self.standing.elapsed(self._crew.now()) >= budget.hours * 3600:
            return f"search.budget.hours = {budget.hours:g} is spent"
        return ""

    def _runs(self, trial: str) -> list[str]:
        return run_names(trial, self._search.seeds)


def opening(search: Search, space: Space, *, name: str, epochs: int, workers: int) -> Opened:
    """Return the first line of a search's journal, without its time.

    name: of the search's run. epochs: of a whole run. workers: of a run, in the search's own job.
    """
    return Opened(
        time=0.0,
        name=name,
        metric=search.metric,
        direction=search.direction,
        keys=tuple(space.axes),
        log_keys=tuple(key for key, axis in space.axes.items() if axis.loguniform),
        trials=space.trials(search.trials),
        seeds=search.seeds,
        scheduler=search.scheduler.name,
        searcher=search.searcher.name,
        epochs=epochs,
        workers=workers,
    )
