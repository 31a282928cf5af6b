"""Brings what runs record to the tracking server, in a thread of its own that nobody waits for.

The workers only write to their run's folder. Whatever the server does, they train on.
"""

import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from orchestrator.errors import OrchError, Unreachable
from orchestrator.events import inform, of_trial, warn
from orchestrator.store.run_folder import RunFolder
from orchestrator.track import record
from orchestrator.track.run import TrackedRun

T = TypeVar("T")

LOOK_SECONDS, LONGEST_LOOK_SECONDS = 1.0, 10.0
"""How often a journal is looked at: more and more seldom as long as it has nothing new."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""How long a server is left alone that does not answer: twice as long each time."""
LAST_TRIES_SECONDS = 5.0
"""For how long a server that does not answer is asked again at the end."""
STUCK_SECONDS = 10.0
"""For how long one is waited for at the end that keeps a question open."""


@dataclass(frozen=True)
class _Errand:
    action: Callable[[], Any]
    done: "Future[Any]" = field(default_factory=Future)


@dataclass
class _Watched:
    """A run whose journal is brought to its record.

    trial: what it is called in its search. tracked: the record, once it is open. pause: between two
    looks. rests_until: when it is looked at next.
    """

    folder: RunFolder
    trial: str | None
    tracked: TrackedRun | None = None
    pause: float = 0.0
    rests_until: float = 0.0


class Sender:
    """Opens the records of runs, brings them what is in the journals, and runs errands.

    Where the server does not answer it asks again until it does, and says so once.
    """

    def __init__(self) -> None:
        self._watched: dict[str, _Watched] = {}
        self._errands: SimpleQueue[_Errand] = SimpleQueue()
        self._ending = threading.Event()
        self._ends_at = self._moved = float("inf")
        self._pause = 0.0
        self._told_silence = False
        self._said: set[str] = set()
        self._given_up: Unreachable | None = None
        self._thread = threading.Thread(target=self._work, name="sender", daemon=True)
        self._thread.start()

    def watch(self, folder: RunFolder, trial: str | None = None) -> None:
        """Open the record of a run, and send what its journal says from now on.

        trial: what the run is called in its search, such as t007.
        """
        if folder.name not in self._watched:
            self._watched[folder.name] = _Watched(folder, trial)
            self._errands.put(_Errand(lambda: None))  # look at it now

    def later(self, action: Callable[[], T]) -> "Future[T]":
        """Run an errand after those that were given before; an error is a warning."""
        errand = _Errand(action)
        errand.done.add_done_callback(self._warn_of)
        self._errands.put(errand)
        return errand.done

    def close(self, folder: RunFolder, action: Callable[[], T]) -> "Future[T]":
        """Run the errand that closes the record of a run, whose journal has come to its end."""
        closing = self.later(action)
        closing.add_done_callback(lambda _: self._watched.pop(folder.name, None))
        return closing

    def finish(self) -> str:
        """Do what is left, and end; return why that was not possible, or nothing.

        A server that does not answer, or keeps a question open, is given up after a few seconds.
        """
        self._moved = time.monotonic()
        self._ends_at = self._moved + LAST_TRIES_SECONDS
        for watched in list(self._watched.values()):
            watched.rests_until = 0.0
        end = self.later(lambda: None)
        self._ending.set()
        while self._thread.is_alive() and time.monotonic() < self._moved + STUCK_SECONDS:
            self._thread.join(0.02)
        if not end.done():
            return f"The tracking server has not answered for {STUCK_SECONDS:.0f} seconds."
        return str(self._given_up or "")

    # --- In the thread ----------------------------------------------------------------------------

    def _work(self) -> None:
        while not (self._ending.is_set() and self._errands.empty()):
            errand = self._next()
            for watched in list(self._watched.values()):
                self._bring(watched)
            if errand:
                self._run(errand)

    def _next(self) -> _Errand | None:
        try:
            return self._errands.get(timeout=LOOK_SECONDS)
        except Empty:
            return None

    def _run(self, errand: _Errand) -> None:
        try:
            errand.done.set_result(self._ask(errand.action))
        except Exception as error:
            errand.done.set_exception(error)

    def _bring(self, watched: _Watched) -> None:
        """Bring a record up to date with its journal, if it is time to look at that."""
        if time.monotonic() < watched.rests_until:
            return
        try:
            with of_trial(watched.trial):
                is_new = self._ask(partial(_step, watched))
                while is_new and self._ask(partial(_step, watched)):
                    pass
            watched.pause = LOOK_SECONDS if is_new else min(2 * watched.pause, LONGEST_LOOK_SECONDS)
        except Unreachable:
            pass  # given up; said at the end
        except Exception as error:
            watched.pause = LONGEST_PAUSE
            self._complain(error)
        watched.rests_until = time.monotonic() + watched.pause

    def _ask(self, action: Callable[[], T]) -> T:
        """Do what needs the server, again until it answers. Raises Unreachable once given up."""
        while True:
            if self._given_up:
                raise self._given_up
            try:
                result = action()
            except Unreachable as error:
                self._bear(error)
            else:
                self._moved = time.monotonic()
                self._pause = 0.0
                if self._told_silence:
                    self._told_silence = False
                    _say(inform, "The tracking server answers again, and gets what waited for it.")
                return result

    def _warn_of(self, done: "Future[Any]") -> None:
        error = done.exception()
        if error is not None and not isinstance(error, Unreachable):  # that is said for all at once
            self._complain(error)

    def _complain(self, error: BaseException) -> None:
        """Warn of an error, once."""
        known = isinstance(error, OrchError | OSError)
        message = str(error) if known else f"{type(error).__name__} in the record: {error}"
        if message in self._said:
            return
        self._said.add(message)
        if not known:
            traceback.print_exception(error)
        _say(warn, message)

    def _bear(self, silence: Unreachable) -> None:
        """Wait before a server that does not answer is asked again, or give it up at the end."""
        if not self._told_silence and not self._ending.is_set():  # at the end `finish` tells it
            self._told_silence = True
            _say(
                warn,
                f"{silence} Training goes on; what is recorded waits in the run's folder until "
                "the server answers.",
            )
        self._pause = min(2 * self._pause or FIRST_PAUSE, LONGEST_PAUSE)
        if time.monotonic() > self._ends_at:
            self._given_up = silence
        elif self._ending.is_set():
            time.sleep(FIRST_PAUSE)
        else:
            self._ending.wait(self._pause)


def _step(watched: _Watched) -> bool:
    """Do a part of what a record lacks; return whether there may be more."""
    if watched.tracked is None:
        watched.tracked = record.open_record(watched.folder, warn)
        record.announce(watched.folder, watched.tracked)
        return True
    before = watched.tracked
    watched.tracked, more = record.deliver(watched.folder, before, warn)
    if watched.tracked != before:
        record.announce(watched.folder, watched.tracked)
    return more


def _say(how: Callable[[str], None], message: str) -> None:
    with suppress(OSError):  # the log, without which the work goes on
        how(message)
