"""The metrics of a run as lines of a file: recorded once, sent until they arrive.

A line is written before anything is sent. What a restarted run measures again is not written a
second time, and a line sent twice carries its first time stamp, which MLflow stores as one row.
"""

import time
from collections.abc import Mapping
from typing import NamedTuple

from orchestrator.store.lines import Lines
from orchestrator.store.run_folder import RunFolder
from orchestrator.typed_json import made_of


class Line(NamedTuple):
    """Metrics after an optimizer step of the run, and when they were recorded."""

    step: int
    time_ms: int
    metrics: dict[str, float]


class Journal:
    """Metrics by step; a mark beside them counts the bytes that were sent."""

    def __init__(self, folder: RunFolder) -> None:
        self._lines = Lines(folder.metrics)
        self._mark = folder.metrics_sent
        self._known = {(key, line.step) for line in self._read(0)[0] for key in line.metrics}

    def append(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record metrics after a step, except those recorded before."""
        new = {key: value for key, value in metrics.items() if (key, step) not in self._known}
        if not new:
            return
        line = Line(step, int(time.time() * 1000), new)
        self._lines.append(line, durable=True)
        self._known |= {(key, step) for key in new}

    def unsent(self) -> tuple[list[Line], int]:
        """Return the lines not yet marked as sent, and the mark that would cover them."""
        return self._read(self._sent())

    def waiting(self) -> int:
        """Return how many metrics were not sent yet."""
        return sum(len(line.metrics) for line in self.unsent()[0])

    def mark_sent(self, mark: int) -> None:
        """Record that all up to `mark` has arrived."""
        self._mark.write(str(mark))

    def _sent(self) -> int:
        """Return the mark; 0 for an impossible one: what is sent twice is stored once."""
        try:
            mark = int(self._mark.read())
            return mark if 0 <= mark <= self._lines.size() else 0
        except (FileNotFoundError, ValueError):
            return 0

    def _read(self, start: int) -> tuple[list[Line], int]:
        found = self._lines.read(start)
        lines = map(_line, found.values)
        return [line for line in lines if line], found.mark


def _line(value: object) -> Line | None:
    """Return what a line holds; None for what another program wrote."""
    try:
        line = made_of(Line, value)
    except ValueError:
        return None
    return line if line.metrics and line.step >= 0 and line.time_ms >= 0 else None
