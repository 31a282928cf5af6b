"""Follow a job: what is new in its log or among its events, none twice, across lost connections.

Ray offers a websocket and the whole log over HTTP. Measured with Ray 2.60: the websocket brings
the first line 5 s after the submission and closes 3 s after the job's end; asking for the whole
log costs 10 ms (0.3 s at 10 MB) and sees both within a second. So the log is polled, at longer
intervals when it is large, and what is already known is left out. No connection is kept open, so
none can break in a way that looks like the job's end. Of the events only the last ones are asked
for (40 ms beside 39 MB), and all of them after a gap.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from orchestrator.cluster.client import ALL_LINES, ClusterClient, JobInfo
from orchestrator.errors import Unreachable
from orchestrator.events import Event, events_file, parse, read
from orchestrator.state import is_final

INTERVAL_SECONDS = 1.0
COST_SHARE = 20
"""At most one twentieth of the time is spent on requests."""
PATIENCE_SECONDS = 120.0
"""How long a cluster may be away before following gives up."""
RECENT_EVENTS = 50
"""More events than a job writes between two looks."""

T = TypeVar("T")


@dataclass(frozen=True)
class Look(Generic[T]):
    """One look at a job: its state, and what is new since the last look.

    info: None when the cluster no longer knows the job. trouble: why the cluster does not answer
    at the moment; then the rest is what was known before.
    """

    info: JobInfo | None
    new: list[T]
    trouble: str = ""


class Reader(Protocol[T]):
    """Output of a job that grows."""

    client: ClusterClient
    submission_id: str

    def read(self, info: JobInfo | None) -> list[T]:
        """Return what is new since the last call. Raises Unreachable."""


class LogLines:
    """The lines of a job's log; an unfinished last line only when the job has ended."""

    def __init__(self, client: ClusterClient, submission_id: str) -> None:
        self.client = client
        self.submission_id = submission_id
        self._seen = 0

    def read(self, info: JobInfo | None) -> list[str]:
        """Return the new lines."""
        text = self.client.logs(self.submission_id)
        ended = info is None or is_final(info.state)
        end = len(text) if ended else text.rfind("\n") + 1
        lines = text[self._seen : end].splitlines()
        self._seen = max(self._seen, end)
        return lines


class JobEvents:
    """The events of a job: from the file of its events, else from the lines of its log."""

    def __init__(self, client: ClusterClient, submission_id: str) -> None:
        self.client = client
        self.submission_id = submission_id
        self._log = LogLines(client, submission_id)
        self._seen = 0

    def read(self, info: JobInfo | None) -> list[Event]:
        """Return the new events."""
        kept = self._file(info, RECENT_EVENTS if self._seen else ALL_LINES)
        if not kept and not self._seen:
            found = (parse(line) for line in self._log.read(info))
            return [event for event in found if event]
        if kept and min(kept) > self._seen + 1:
            kept = self._file(info, ALL_LINES)
        new = {n: event for n, event in kept.items() if n > self._seen}
        self._seen = max([self._seen, *new])
        return list(new.values())

    def _file(self, info: JobInfo | None, last_lines: int) -> dict[int, Event]:
        """Return the last events of the file by number; the driver's machine may be gone."""
        if info is None or info.driver_node is None:
            return {}
        try:
            name = events_file(self.submission_id)
            text = self.client.log_file(info.driver_node, name, last_lines)
        except Unreachable:
            if is_final(info.state):
                return {}
            raise
        found = (read(line) for line in text.splitlines())
        return {event.n: event for event in found if event and event.n is not None}


def follow(
    reader: Reader[T],
    *,
    interval: float | None = None,
    patience: float = PATIENCE_SECONDS,
) -> Iterator[Look[T]]:
    """Look at a job until it has ended. The last look holds the rest of its output.

    Raises Unreachable when the cluster does not answer for `patience` seconds.
    """
    pause = INTERVAL_SECONDS if interval is None else interval
    info: JobInfo | None = None
    answered = time.monotonic()
    while True:
        began = time.monotonic()
        try:
            info = reader.client.job(reader.submission_id)
            new = reader.read(info)
        except Unreachable as error:
            if time.monotonic() - answered > patience:
                raise
            yield Look(info, [], str(error))
        else:
            answered = time.monotonic()
            yield Look(info, new)
            if info is None or is_final(info.state):
                return
        time.sleep(max(pause, COST_SHARE * (answered - began)))
