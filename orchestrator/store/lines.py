"""A file of JSON lines that only grows, for one writer that may be killed at any moment."""

import errno
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.files import sync_folder, write_whole
from orchestrator.typed_json import plain


class Found(NamedTuple):
    """The JSON values of a file's lines, and the mark (in bytes) behind the last of them."""

    values: list[Any]
    mark: int


class Lines:
    """A JSON document on each line. A last line that a kill left incomplete does not count."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, value: object, *, durable: bool) -> None:
        """Write a line. durable: it is on the disk when this returns.

        Raises OSError, also where only a part of the line found room; that does not count.
        """
        self._drop_torn_line()
        line = _line(value)
        is_new = not self._path.exists()
        with self._path.open("ab", buffering=0) as file:
            if file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            if durable:
                os.fsync(file.fileno())
        if is_new:
            sync_folder(self._path.parent)

    def put_first(self, value: object) -> None:
        """Write a line before all that is there, which stays. Raises OSError; then all does."""
        write_whole(self._path, _line(value) + self._path.read_bytes())

    def read(self, start: int = 0, most: int | None = None) -> Found:
        """Return what stands behind a mark. What a crash of the machine left there is skipped.

        most: how many lines are read; all by default.
        """
        if not self._path.exists():
            return Found([], start)
        with self._path.open("rb") as file:
            file.seek(start)
            content = file.read()
        lines = content.split(b"\n")[:-1][:most]
        return Found(list(_documents(lines)), start + sum(len(line) + 1 for line in lines))

    def sync(self) -> None:
        """Bring to the disk what another process may only just have written. Raises OSError."""
        with self._path.open("rb") as file:
            os.fsync(file.fileno())
        sync_folder(self._path.parent)

    def size(self) -> int:
        """Return the bytes of the file, a torn last line included. Raises OSError."""
        return self._path.stat().st_size

    def _drop_torn_line(self) -> None:
        if not self._path.exists() or self._ends_whole():
            return
        content = self._path.read_bytes()
        os.truncate(self._path, content.rfind(b"\n") + 1)

    def _ends_whole(self) -> bool:
        with self._path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 1, 0))
            return file.read() in (b"", b"\n")


def _line(value: object) -> bytes:
    return json.dumps(plain(value)).encode() + b"\n"


def _documents(lines: Iterable[bytes]) -> Iterator[Any]:
    for line in lines:
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):
            continue
