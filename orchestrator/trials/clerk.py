"""The records of a search: one thread asks the tracking server, again until it answers."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from queue import PriorityQueue
from typing import Any, TypeVar

from orchestrator.errors import OrchError, Unreachable
from orchestrator.events import warn

T = TypeVar("T")

RETRY_SECONDS = 3.0

_SOON, _LATER, _END = range(3)


@dataclass(frozen=True, order=True)
class _Errand:
    urgency: int
    number: int
    action: Callable[[], Any] = field(compare=False)
    done: "Future[Any]" = field(compare=False)


class Clerk:
    """Runs errands one by one: the urgent ones first, else in the order given."""

    def __init__(self) -> None:
        self._errands: PriorityQueue[_Errand] = PriorityQueue()
        self._numbers = count()
        self._ending = threading.Event()
        self._silent = False
        self._given_up: Unreachable | None = None
        self._thread = threading.Thread(target=self._work, name="clerk", daemon=True)
        self._thread.start()

    def soon(self, action: Callable[[], T]) -> "Future[T]":
        """Run an errand before all that can wait; return its result or error when it is there."""
        return self._add(_SOON, action)

    def later(self, action: Callable[[], object]) -> None:
        """Run an errand when there is time; an error is a warning."""
        self._add(_LATER, action).add_done_callback(_warn_of)

    def finish(self) -> None:
        """Run all that waits, and end. A server that does not answer now is not asked again."""
        self._ending.set()
        self._add(_END, lambda: None)
        self._thread.join()
        if self._given_up:
            warn(f"{self._given_up} `orch sync` of the search tells it later how the trials ended.")

    def _add(self, urgency: int, action: Callable[[], T]) -> "Future[T]":
        done: Future[T] = Future()
        self._errands.put(_Errand(urgency, next(self._numbers), action, done))
        return done

    def _work(self) -> None:
        urgency = _SOON
        while urgency != _END:
            errand = self._errands.get()
            urgency = errand.urgency
            self._run(errand)

    def _run(self, errand: _Errand) -> None:
        while True:
            if self._given_up:
                errand.done.set_exception(self._given_up)
                return
            try:
                result = errand.action()
            except Unreachable as error:
                if self._ending.is_set():
                    self._given_up = error
                    continue
                self._tell_silence(error)
                self._ending.wait(RETRY_SECONDS)
            except Exception as error:
                errand.done.set_exception(error)
                return
            else:
                self._silent = False
                errand.done.set_result(result)
                return

    def _tell_silence(self, error: Unreachable) -> None:
        if not self._silent:
            self._silent = True
            with suppress(OSError):  # the log, without which the work goes on
                warn(f"{error} Trials that have begun go on; new ones wait until it answers.")


def _warn_of(done: "Future[Any]") -> None:
    error = done.exception()
    if isinstance(error, Unreachable):
        return  # said once for all errands
    if isinstance(error, OrchError | OSError):
        warn(str(error))
    elif error is not None:
        warn(f"{type(error).__name__} in the record of the search: {error}")
