"""What people see of a search: a thread follows its journal and keeps all of it up to date."""

import threading
import time
import traceback
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from orchestrator.events import TrialEnded, say, warn
from orchestrator.job.schema import Job
from orchestrator.run_facts import Events
from orchestrator.search import announce, endings, table
from orchestrator.search.journal import SearchJournal
from orchestrator.search.records import Ended, Record
from orchestrator.search.standing import Standing
from orchestrator.search.trial import Run
from orchestrator.store.search_folder import SearchFolder
from orchestrator.track import family
from orchestrator.track.sender import Sender
from orchestrator.train.failures import first_line
from orchestrator.trials.best import write_best
from orchestrator.trials.page import best_runs, page_of

LOOK_SECONDS = 1.0
QUIET_SECONDS = 30.0
"""The longest time between two events that say how far the search is."""
PAGES_SECONDS = 60.0
"""The shortest time between two drawings of the figures, which slow down what else the driver does;
at the end they are drawn in any case."""


class Desk:
    """The events, tables, figures, best job and records of a search.

    What an earlier driver wrote in the journal is taken in and not said again.
    """

    def __init__(self, search: SearchFolder, job: Job, sender: Sender) -> None:
        self._search = search
        self._job = job
        self._sender = sender
        self._journal = SearchJournal(search)
        self._events = Events(search.run)
        self._mark = 0
        self._standing = Standing()
        self._untold: list[_Told] = []
        self._said, self._drawn = float("-inf"), time.monotonic()
        self._ended_since = self._troubled = False
        self._news = threading.Event()
        self._ending = False
        self._take_in(silently=True)
        self._thread = threading.Thread(target=self._work, name="desk", daemon=True)
        self._thread.start()

    def wake(self, _record: Record, _standing: Standing) -> None:
        """Hear that the journal has a new line."""
        self._news.set()

    def finish(self) -> None:
        """Take in the rest, and bring everything up to date for the last time.

        What cannot be is a warning, whether or not there was one before.
        """
        self._ending = True
        self._news.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._ending:
            self._tell()
            if self._ended_since and time.monotonic() - self._drawn > PAGES_SECONDS:
                self._write_pages()
            self._news.wait(LOOK_SECONDS)
            self._news.clear()
        self._troubled = False
        self._tell()
        self._write_pages()

    def _tell(self) -> None:
        """Say what is new; where that fails, warn once until it goes well again."""
        try:
            new = self._take_in(silently=False)
            self._tell_ends()
            self._say_progress(new=new)
        except Exception as error:
            if not self._troubled:
                _complain("Progress and records of the search are not up to date", error)
            self._troubled = True
        else:
            self._troubled = False

    def _take_in(self, *, silently: bool) -> bool:
        """Read what is new in the journal; return whether anything is."""
        read = self._journal.read(self._mark)
        self._mark = read.mark
        for record in read.records:
            self._standing.add(record)
            if isinstance(record, Ended):
                self._hear_end(record, silently=silently)
        return bool(read.records)

    def _hear_end(self, end: Ended, *, silently: bool) -> None:
        self._ended_since = True
        for run in self._standing.runs_of(end.trial):
            self._close_record(run, end)
        best = self._standing.best
        event = None if silently else announce.trial_ended(self._standing, end.trial)
        self._untold.append(_Told(len(self._standing.ended), best.value if best else None, event))

    def _tell_ends(self) -> None:
        best = {told.ended: told.best for told in self._untold if told.best is not None}
        if best:
            family.note_best(self._search, best)
        while self._untold:
            if event := self._untold[0].event:
                say(event)
            del self._untold[0]

    def _close_record(self, run: Run, end: Ended) -> None:
        assert self._standing.opened is not None
        folder = self._search.of_run(run.name)
        value = endings.value_of(run, end, self._standing.opened.metric)
        self._sender.close(
            folder, partial(endings.close_record, folder, run.name, end, value, warn)
        )

    def _say_progress(self, *, new: bool) -> None:
        since = time.monotonic() - self._said
        due = self._ending or since > QUIET_SECONDS or (new and since > LOOK_SECONDS)
        if self._standing.opened and due:
            self._said = time.monotonic()
            self._events.say(announce.searching(self._standing, time.time(), QUIET_SECONDS))

    def _write_pages(self) -> None:
        """Write tables, figures and the best job; without them the search goes on all the same."""
        if self._standing.opened is None:
            return
        self._drawn, self._ended_since = time.monotonic(), False
        try:
            self._write_tables()
            self._draw()
        except Exception as error:
            _complain("The tables and figures of the search are not up to date", error)
        self._sender.later(partial(_show, self._search, best_runs(self._standing)))

    def _write_tables(self) -> None:
        self._search.table.write(table.markdown(self._standing))
        self._search.rows.write(table.rows_as_csv(self._standing))
        write_best(self._search, self._job, self._standing)
        self._search.page.write(page_of(self._search, best_runs(self._standing)))

    def _draw(self) -> None:
        from orchestrator.search import figures  # a second that the first groups need not wait

        figures.draw(self._standing, self._search.figures)


def _show(search: SearchFolder, runs: list[str]) -> None:
    """Bring the page up to date: by now the records of the runs are open, which it links."""
    search.page.write(page_of(search, runs))
    family.show(search)


class _Told(NamedTuple):
    """What is told when a trial ends. ended: how many have. best: the best value so far."""

    ended: int
    best: float | None
    event: TrialEnded | None


def _complain(what: str, error: Exception) -> None:
    """Warn of an error; where not even the log can be written, the work goes on without."""
    with suppress(OSError):
        traceback.print_exception(error)
        warn(f"{what}: {first_line(error)}")
