"""JSON documents, each on a line of a file that only grows."""

import json
from typing import Any, NamedTuple

from orchestrator.store.folder import Growing
from orchestrator.typed_json import plain

_DAMAGED = object()
"""Stands for a line that is no JSON."""


class Found(NamedTuple):
    """The JSON values of a file's lines, and the mark (in bytes) behind the last of them.

    damaged: which lines are no JSON, counted from 1 where the reading began.
    """

    values: list[Any]
    mark: int
    damaged: list[int]


class Lines:
    """The lines of a growing file as values."""

    def __init__(self, file: Growing) -> None:
        self._file = file

    def append(self, value: object, *, durable: bool) -> None:
        """Write a line. durable: it survives a crash of the machine from here on.

        Raises OSError; then the line does not count.
        """
        self._file.append(_line(value), durable=durable)

    def put_first(self, value: object) -> None:
        """Write a line before all that is there, which stays. Raises OSError; then all does."""
        self._file.put_first(_line(value))

    def read(self, start: int = 0, most: int | None = None) -> Found:
        """Return what stands behind a mark. What a crash of the machine left there is skipped.

        most: how many lines are read; all by default.
        """
        lines = self._file.read(start).split(b"\n")[:-1][:most]
        values = [_value(line) for line in lines]
        return Found(
            [value for value in values if value is not _DAMAGED],
            start + sum(len(line) + 1 for line in lines),
            [number for number, value in enumerate(values, 1) if value is _DAMAGED],
        )

    def sync(self) -> None:
        """Let survive a crash what another process may only just have written. Raises OSError."""
        self._file.sync()

    def size(self) -> int:
        """Return the bytes of the file. Raises OSError."""
        return self._file.size()


def _line(value: object) -> bytes:
    return json.dumps(plain(value)).encode() + b"\n"


def _value(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return _DAMAGED
