"""A storage that does not answer: who waits for it says so once, and once when that is over.

A process says nothing until it is told to (`tell`). Of those of a node that work for one run, the
first to wait speaks for all.
"""

import contextlib
import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

QUIET_SECONDS = 10.0
"""How long a storage may fail before something is said."""


@dataclass(frozen=True)
class Telling:
    """For whom a process speaks. run: its folder. warn: writes to its log; it can be pickled."""

    run: str
    warn: Callable[[str], None]

    @property
    def lock(self) -> Path:
        """The file that the process of a node holds that speaks for the run."""
        from video.library import cache_folder  # with decord, which most commands do not need

        digest = hashlib.sha256(self.run.encode("utf-8", "surrogateescape")).hexdigest()
        return cache_folder() / "waiting" / digest[:16]


@dataclass(frozen=True)
class _Request:
    """A request that is being made. patience: in seconds; 0 where it is not known."""

    place: str
    patience: float
    began: float


class Outage:
    """The trouble of one process."""

    def __init__(self, telling: Telling | None = None) -> None:
        self.telling = telling
        self._lock = threading.Lock()
        self._answered = 0.0
        self._since: float | None = None
        self._noticed = False
        self._speaks: int | None = None

    def failed(self, request: _Request, why: str) -> None:
        """Note that an attempt of a request has failed."""
        with self._lock:
            if self._since is None:
                self._since = max(request.began, self._answered)
            if self._noticed or time.monotonic() - self._since < QUIET_SECONDS:
                return
            self._noticed = True
            if self.telling and self._may_speak(self.telling.lock):
                limit = f", for at most {request.patience / 60:.0f} minutes"
                at_most = limit if request.patience else ""
                self.telling.warn(f"{request.place}: {why}; waiting{at_most}.")

    def over(self, request: _Request) -> None:
        """Note that an answer has come."""
        self._answered = time.monotonic()
        if self._since is None:
            return
        with self._lock:
            since, self._since, self._noticed = self._since, None, False
            if self._speaks is not None and self.telling and since is not None:
                self._fall_silent(self.telling.lock)
                waited = self._answered - since
                self.telling.warn(f"{request.place}: S3 answers again, after {waited:.0f} seconds.")

    def _may_speak(self, lock: Path) -> bool:
        """Return whether no other process does."""
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            return False
        self._speaks = file
        return True

    def _fall_silent(self, lock: Path) -> None:
        if self._speaks is not None:
            with contextlib.suppress(OSError):
                lock.unlink(missing_ok=True)
            os.close(self._speaks)
            self._speaks = None


_outage = Outage()
_request: ContextVar[_Request | None] = ContextVar("request", default=None)


def tell(telling: Telling | None) -> None:
    """Let this process say what it waits for, or say nothing."""
    global _outage
    _outage = Outage(telling)


def telling() -> Telling | None:
    """Return for whom this process speaks."""
    return _outage.telling


@contextlib.contextmanager
def asked(place: str, patience: float) -> Iterator[None]:
    """Name what this thread asks for in the block, and how many seconds it waits, 0 if unknown."""
    token = _request.set(_Request(place, patience, time.monotonic()))
    try:
        yield
    finally:
        _request.reset(token)


def failed(why: str) -> None:
    """Note that an attempt of this thread's request has failed."""
    if request := _request.get():
        _outage.failed(request, why)


def over() -> None:
    """Note that an answer to this thread's request has come."""
    if request := _request.get():
        _outage.over(request)
