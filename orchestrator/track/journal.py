"""The metrics of a run as lines of a file: recorded once, sent until they arrive.

A line is on the disk before training goes on, and is sent from there by another process. What a
restarted run measures again is not written a second time, and a line sent twice carries its first
time stamp, which MLflow stores as one row.
"""

import json
import math
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from orchestrator.events import warn
from orchestrator.store.lines import Lines
from orchestrator.store.run_folder import RunFolder
from orchestrator.track import keys
from orchestrator.typed_json import made_of, plain

LARGEST = 2**63
"""Steps and times are below this everywhere."""

MOST_NAMED = 10
"""How many damaged lines are named."""


class Line(NamedTuple):
    """Metrics after an optimizer step of the run, and when they were recorded."""

    step: int
    time_ms: int
    metrics: dict[str, float]


class Differs(NamedTuple):
    """What a restarted run measured at a step that is recorded with other values."""

    step: int
    time_ms: int
    differs: dict[str, float]


class Rejected(NamedTuple):
    """A metric that the tracking server did not accept, and why."""

    step: int
    time_ms: int
    metrics: dict[str, float]
    reason: str


class Journal:
    """Metrics by step; a mark beside them counts the bytes that were sent."""

    def __init__(self, folder: RunFolder) -> None:
        self._file = str(folder.metrics)
        self._lines = Lines(folder.metrics)
        self._rejected = Lines(folder.metrics_rejected)
        self._mark = folder.metrics_sent

    def log(self, step: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Record metrics after a step of the run, with its epoch (from 1) as one more.

        Raises OSError when they cannot be written.
        """
        self.append(step, {**metrics, keys.EPOCH: float(epoch)})

    def append(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record metrics after a step, except those recorded before.

        Of these it is recorded that they were others, unless they measure time.
        """
        known = self._known
        new = {key: value for key, value in metrics.items() if (key, step) not in known}
        others = {
            key: value
            for key, value in metrics.items()
            if key not in new and key not in keys.TIMES and not _same(value, known[key, step])
        }
        now = int(time.time() * 1000)
        if new:
            self._lines.append(Line(step, now, new), durable=True)
            known |= {(key, step): value for key, value in new.items()}
        if others:
            self._lines.append(Differs(step, now, others), durable=True)

    def unsent(self, most: int | None = None) -> tuple[list[Line], int]:
        """Return the lines not yet marked as sent, and the mark that would cover them.

        most: how many lines of the file are read; all by default.
        """
        found = self._lines.read(self.sent(), most)
        lines = map(_line, found.values)
        return [line for line in lines if line], found.mark

    def waiting(self) -> int:
        """Return how many metrics were not sent yet."""
        return sum(len(line.metrics) for line in self.unsent()[0])

    def differing(self) -> int:
        """Return how many metrics had another value when their step was done again."""
        found = filter(None, map(_differs, self._lines.read().values))
        return len({(key, line.step) for line in found for key in line.differs})

    def damaged(self) -> str:
        """Return which lines cannot be read, in a sentence; nothing if all can."""
        return _left_out(self._lines.read().damaged, self._file)

    def sync(self) -> None:
        """Bring all lines to the disk: none may be sent that a crash could take back."""
        self._lines.sync()

    def mark_sent(self, mark: int) -> None:
        """Record that all up to `mark` has arrived."""
        self._mark.write(str(mark))

    def reject(self, metrics: Sequence[Rejected]) -> None:
        """Keep metrics that were not accepted, once: after a kill they may be sent again."""
        kept = {json.dumps(value) for value in self._rejected.read().values} if metrics else ()
        for metric in metrics:
            if json.dumps(plain(metric)) not in kept:
                self._rejected.append(metric, durable=True)

    def sent(self) -> int:
        """Return the mark; 0 for an impossible one: what is sent twice is stored once."""
        try:
            mark = int(self._mark.read())
            return mark if 0 <= mark <= self._lines.size() else 0
        except (FileNotFoundError, ValueError):
            return 0

    @cached_property
    def _known(self) -> dict[tuple[str, int], float]:
        """The recorded values by metric and step, as this process began or has written them.

        A warning says which lines were damaged before.
        """
        found = self._lines.read()
        if told := _left_out(found.damaged, self._file):
            warn(told)
        lines = filter(None, map(_line, found.values))
        return {(key, line.step): value for line in lines for key, value in line.metrics.items()}


def _left_out(damaged: list[int], file: str) -> str:
    if not damaged:
        return ""
    if len(damaged) == 1:
        return f"Line {damaged[0]} of {file} cannot be read and is left out."
    more = f" and {len(damaged) - MOST_NAMED} more" if len(damaged) > MOST_NAMED else ""
    named = ", ".join(map(str, damaged[:MOST_NAMED]))
    return f"Lines {named}{more} of {file} cannot be read and are left out."


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def _line(value: object) -> Line | None:
    """Return what a line holds; None for what another program wrote."""
    try:
        line = made_of(Line, value)
    except ValueError:
        return None
    numbers = 0 <= line.step < LARGEST and 0 <= line.time_ms < LARGEST
    return line if line.metrics and numbers else None


def _differs(value: object) -> Differs | None:
    try:
        return made_of(Differs, value)
    except ValueError:
        return None
