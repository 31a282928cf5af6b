"""A file in S3 that only grows.

Objects cannot be appended to. So the lines are in numbered objects: the last one is replaced by a
longer one until it is full, on the condition that it is still the one that was read. Whoever finds
that another writer was first begins again behind what that one wrote.
"""

import errno
from dataclasses import dataclass, field
from typing import NamedTuple

from orchestrator.store.s3_bucket import Bucket, Object
from orchestrator.store.s3_client import Changed

FULL = 256 << 10
"""So many bytes fill an object."""
RACES = 100
"""How often another writer may be first."""


class Last(NamedTuple):
    """The last object: its number, content and tag; no tag as long as there is none."""

    number: int
    content: bytes
    tag: str | None

    def next(self) -> "Last":
        """Return the one that follows."""
        return Last(self.number + 1, b"", None)


@dataclass
class S3Lines:
    """A `Growing` file. key: what the keys of its objects begin with, without the `/`."""

    bucket: Bucket
    key: str
    last: Last | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return self.bucket.uri(self.key)

    def exists(self) -> bool:
        """Return whether anything was written."""
        return bool(self._objects())

    def append(self, line: bytes, *, durable: bool) -> None:
        """Write a line; it is in S3 when this returns, durable or not."""
        for _ in range(RACES):
            last = self.last or self._find()
            if last.content and len(last.content) + len(line) > FULL:
                last = last.next()
            content = last.content + line
            try:
                tag = self.bucket.write_after(self._key(last.number), content, last.tag)
            except (Changed, FileNotFoundError):
                self.last = None
                if self._was_written(last.number, content):
                    return
            else:
                self.last = Last(last.number, content, tag)
                return
        raise OSError(errno.EBUSY, "others write to it all the time", str(self))

    def put_first(self, line: bytes) -> None:
        """Write a line before all that is there, which stays."""
        self.last = None
        first = self._objects()[0].key
        found = self.bucket.read(first)
        self.bucket.write_after(first, line + found.content, found.tag)

    def read(self, start: int = 0) -> bytes:
        """Return the lines behind a mark in bytes."""
        found, before = [], 0
        for one in self._objects():
            if before + one.size > start:
                found.append(self.bucket.read(one.key).content[max(0, start - before) :])
            before += one.size
        return b"".join(found)

    def sync(self) -> None:
        """Do nothing: what S3 has accepted stays."""

    def size(self) -> int:
        """Return the bytes of all objects. Raises FileNotFoundError without any."""
        if found := self._objects():
            return sum(one.size for one in found)
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(self))

    def written(self) -> float | None:
        """Return when the file last grew; None where none is seen."""
        try:
            return max((one.written for one in self._objects()), default=None)
        except OSError:
            return None

    def _was_written(self, number: int, content: bytes) -> bool:
        """Return whether an object is what this process wrote: the answer was lost on its way."""
        try:
            return self.bucket.read(self._key(number)).content == content
        except FileNotFoundError:
            return False

    def _find(self) -> Last:
        found = self._objects()
        if not found:
            return Last(1, b"", None)
        content, tag = self.bucket.read(found[-1].key)
        return Last(int(found[-1].key.rpartition("/")[2]), content, tag)

    def _objects(self) -> list[Object]:
        return list(self.bucket.objects(f"{self.key}/"))

    def _key(self, number: int) -> str:
        return f"{self.key}/{number:08d}"
