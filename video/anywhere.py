"""The folders and files of a data set, on a disk of this machine or elsewhere.

A data set needs of them what `Place` lists, a part of what `Path` has. Whoever opens a data set
whose files are elsewhere hands in a place of another kind; here nothing is known of any.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

T = TypeVar("T")

READS = 5
"""How often a file is read whose copies are lost meanwhile."""


class LostCopy(Exception):
    """A copy of a file has left this machine while it was fetched or read; it can be had again."""


class Place(Protocol):
    """A folder or a file. All but `name`, `suffix` and `stem` may raise OSError."""

    @property
    def name(self) -> str: ...

    @property
    def suffix(self) -> str: ...

    @property
    def stem(self) -> str: ...

    def __truediv__(self, name: str, /) -> "Place": ...

    def iterdir(self) -> Iterable["Place"]:
        """Return what is in a folder."""

    def is_dir(self) -> bool: ...

    def is_file(self) -> bool: ...

    def read_bytes(self) -> bytes: ...


@runtime_checkable
class Elsewhere(Protocol):
    """A place that is not on a disk of this machine."""

    def here(self) -> AbstractContextManager[Path]:
        """Return a context in which a copy of a file is on this machine.

        Its path is the same whenever the content is. Raises FileNotFoundError where there is no
        such file. Whatever fails in the context while the copy is lost becomes LostCopy.
        """

    def identity(self) -> str:
        """Return what only this content of a file is called. Raises FileNotFoundError."""

    def part(self, offset: int, size: int) -> bytes:
        """Return some bytes of a file; no others need to come here."""


def place_of(given: "str | Path | Place") -> Place:
    """Return the place that a setting names, or that was handed in instead."""
    return Path(given) if isinstance(given, str) else given


@contextlib.contextmanager
def at_hand(place: Place) -> Iterator[Path]:
    """Give a file, or a copy of it, as a path of this machine."""
    if isinstance(place, Elsewhere):
        with place.here() as path:
            yield path
    else:
        yield Path(str(place))


def read_again(read: Callable[[], T]) -> T:
    """Return what reading a file gives, from another copy when one is lost meanwhile.

    Raises LostCopy when all of them are, and what else the reading raises.
    """
    for _ in range(READS - 1):
        with contextlib.suppress(LostCopy):
            return read()
    return read()


def identity(place: Place) -> str:
    """Return what only this content of a file is called. Raises OSError."""
    if isinstance(place, Elsewhere):
        return place.identity()
    path = Path(str(place)).resolve()
    known = path.stat()
    return f"{path}\n{known.st_size}\n{known.st_mtime_ns}"


def read_part(place: Place, offset: int, size: int) -> bytes:
    """Return some bytes of a file. Raises OSError, also where it has fewer."""
    if isinstance(place, Elsewhere):
        return place.part(offset, size)
    return read_bytes_at(Path(str(place)), offset, size)


def refuse_irregular(path: Path) -> os.stat_result:
    """Return what is seen of a file. Raises OSError, also for a pipe or a device.

    Whoever opened one of those might wait for ever.
    """
    seen = path.stat()
    if not stat.S_ISREG(seen.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return seen


def read_bytes_at(path: Path, offset: int, size: int) -> bytes:
    """Return some bytes of a file of this machine. Raises OSError, also where it has fewer."""
    with path.open("rb", buffering=0) as file:
        content = os.pread(file.fileno(), size, offset)
    if len(content) < size:
        raise OSError(errno.EIO, "the file is shorter than it was", str(path))
    return content
