"""The job's log as a person reads it, and the events and facts of the run in files beside it.

What the driver and, through Ray, the workers print passes through here. Ray keeps the log of a job
in `job-driver-<id>.log` of the driver's machine; the events go to `orch-events-<id>.jsonl`, the
last of each kind to `orch-facts-<id>.json`, in the same folder, which the dashboard serves too.
Where the log is elsewhere (the driver was started by hand, or the system is not Linux) nothing is
changed, and the events stay in the log as lines.
"""

import contextlib
import io
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import TextIO

from orchestrator.events import DRIVER_LOG, Event, Progress, Searching, events_file, parse, to_json
from orchestrator.run_facts import RunFacts, facts_at, facts_file
from orchestrator.store.disk import DiskFolder
from orchestrator.store.run_folder import WholeFile
from orchestrator.strict_json import dumps
from orchestrator.typed_json import plain
from orchestrator.wording import clock, describe

PROGRESS_SECONDS = 30.0
"""Progress is logged at most this often, of each trial too; evaluations always are."""
NOISE = ("'PreemptionWatcher' and ID:",)
"""Parts of lines that Ray prints in every job and that mean nothing to a user."""

STOPPED_EARLY = "The run was asked to stop before its workers started."
"""What Ray's controller raises then, to end."""
NOISY_BLOCKS = (
    ") Graceful shutdown of backend failed. This is expected",
    ") Error in control loop iteration: The worker group startup timed out",
    f") Error in control loop iteration: {STOPPED_EARLY}",
)
"""The beginnings of tracebacks that Ray prints after each lost worker, for each minute that workers
wait for room, and for a stop meanwhile; the run itself reports its restarts and its stop, and
`orch status` the waiting."""


def install() -> None:
    """Route all output of this process through here, if its log is where Ray keeps it."""
    if (found := _log()) is None:
        return
    kept = EventFile(*found)
    sys.stdout, sys.stderr = JobLog(sys.stdout, kept), JobLog(sys.stderr, kept)


def listen(hear: Callable[[Event], None]) -> None:
    """Let something hear all events that pass through this process's log from now on.

    In a thread of its own: the log waits for nobody, and no error of a listener ends anything.
    """
    if not isinstance(sys.stdout, JobLog):
        return
    heard: SimpleQueue[Event] = SimpleQueue()

    def work() -> None:
        while True:
            with contextlib.suppress(Exception):
                hear(heard.get())

    threading.Thread(target=work, name="listener", daemon=True).start()
    sys.stdout.kept.listeners.append(heard.put)


def kept_events() -> Path | None:
    """Return the file with the events of this process's job; None where there is none."""
    found = _log()
    return found[0] / events_file(found[1]) if found else None


def _log() -> tuple[Path, str] | None:
    """Return the folder of this process's log, and its job's id, if it is where Ray keeps it."""
    try:
        log = Path("/proc/self/fd/1").readlink()
    except OSError:
        return None
    if not log.name.startswith(DRIVER_LOG):
        return None
    return log.parent, log.stem.removeprefix(DRIVER_LOG)


class EventFile:
    """Events, one JSON document per line, each with its number `n` from 1, and the facts so far.

    A driver that takes the place of a killed one goes on with both.
    """

    def __init__(self, folder: Path, submission_id: str) -> None:
        self._path = folder / events_file(submission_id)
        self._path.touch()
        self._count, self._rest = 0, ""  # the lines; what ends the last one
        self._look()
        self._facts_path = folder / facts_file(submission_id)
        self._facts = facts_at(WholeFile(DiskFolder(folder), self._facts_path.name))
        self.listeners: list[Callable[[Event], None]] = []
        self.lock = threading.Lock()

    def add(self, event: Event) -> None:
        """Append an event; readers of the file see it at once.

        A disk that is full of Ray's logs ends no run: its own folder has the facts.
        """
        with contextlib.suppress(OSError):
            self._append(event)
            self._keep(self._facts.after(event))
        for hear in self.listeners:
            hear(event)

    def _append(self, event: Event) -> None:
        """Write an event on a line of its own, also after one that was cut. Raises OSError."""
        line = to_json(replace(event, n=self._count + 1))
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{self._rest}{line}\n")
        except OSError:
            self._look()
            raise
        self._count, self._rest = self._count + 1, ""

    def _look(self) -> None:
        """Count the lines that there are; one that a full disk or a kill has cut is one of them."""
        content = self._path.read_bytes()
        self._rest = "" if content[-1:] in (b"", b"\n") else "\n"
        self._count = content.count(b"\n") + len(self._rest)

    def _keep(self, facts: RunFacts) -> None:
        """Replace the file of the facts, if they are new; readers find the old ones or these."""
        if facts == self._facts:
            return
        self._facts = facts
        scratch = self._facts_path.with_suffix(".new")
        scratch.write_text(dumps(plain(facts)) + "\n", encoding="utf-8")
        scratch.replace(self._facts_path)


class JobLog(io.TextIOBase):
    """A stream that turns the lines of events into sentences and leaves out Ray's noise."""

    def __init__(self, under: TextIO, kept: EventFile) -> None:
        self._under = under
        self.kept = kept
        self._begun = ""
        self._last_progress: dict[str | None, float] = {}
        self._muted = "\n"

    def write(self, text: str) -> int:
        """Print the lines that are complete."""
        with self.kept.lock:
            *lines, self._begun = (self._begun + text).split("\n")
            for line in lines:
                self._line(line)
        return len(text)

    def flush(self) -> None:
        """Flush the stream below; an incomplete line is kept back."""
        self._under.flush()

    def fileno(self) -> int:
        """Return the descriptor below."""
        return self._under.fileno()

    def _line(self, line: str) -> None:
        event = parse(line)
        if event is None:
            if not self._is_noise(line):
                self._under.write(line + "\n")
            return
        self.kept.add(event)
        if self._is_worth_a_line(event):
            lines = describe(event)
            stamp = clock(event.time or time.time())
            self._under.writelines(
                f"{stamp}  {shown}\n" if len(lines) == 1 else f"{shown}\n" for shown in lines
            )
            self._under.flush()

    def _is_noise(self, line: str) -> bool:
        """Return whether a line is noise: by itself, or as part of a traceback of its process."""
        begun = [line.partition(block)[0] for block in NOISY_BLOCKS if block in line]
        if begun:
            self._muted = begun[0]
        elif not line.startswith(self._muted):
            self._muted = "\n"
        return self._muted != "\n" or any(part in line for part in NOISE)

    def _is_worth_a_line(self, event: Event) -> bool:
        if not isinstance(event, Progress | Searching):
            return True
        now = time.monotonic()
        if now - self._last_progress.get(event.trial, float("-inf")) < PROGRESS_SECONDS:
            return False
        self._last_progress[event.trial] = now
        return True
