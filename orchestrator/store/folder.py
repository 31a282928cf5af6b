"""A folder of files, on a disk (`disk.py`) or in an S3 bucket (`s3.py`).

Nothing outside this package knows which of the two it has.
"""

import errno
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from orchestrator.errors import OrchError, Unreachable

MARK = "manifest.json"
"""The last file that is written of a folder which is there as a whole or not at all."""


class StorageTrouble(OrchError, OSError):
    """The storage does not answer or refuses, which says nothing about the files in it."""

    exit_code = Unreachable.exit_code

    def __init__(self, message: str) -> None:
        super().__init__(errno.EIO, message)

    def __str__(self) -> str:
        return str(self.strerror)

    def __reduce__(self) -> tuple[type["StorageTrouble"], tuple[str]]:
        return StorageTrouble, (str(self),)


class Growing(Protocol):
    """A file that only grows, by whole lines, for one writer that may be killed at any moment."""

    def __str__(self) -> str: ...

    def exists(self) -> bool:
        """Return whether anything was written."""

    def append(self, line: bytes, *, durable: bool) -> None:
        """Write a line. durable: it survives a crash of the machine from here on.

        Raises OSError; then the line does not count.
        """

    def put_first(self, line: bytes) -> None:
        """Write a line before all that is there, which stays. Raises OSError; then all does."""

    def read(self, start: int = 0) -> bytes:
        """Return the whole lines behind a mark in bytes; none where nothing was written."""

    def sync(self) -> None:
        """Let all lines survive a crash of the machine from here on. Raises OSError."""

    def size(self) -> int:
        """Return the bytes of the file. Raises OSError."""

    def written(self) -> float | None:
        """Return when the file last grew, in seconds since 1970; None where none is seen."""


class Folder(Protocol):
    """Files, each read and replaced as a whole, and folders that are there as a whole or not.

    Methods raise OSError: FileNotFoundError for what is not there, StorageTrouble for what says
    nothing about the files.
    """

    @property
    def name(self) -> str:
        """The last part of where the folder is."""

    @property
    def parent(self) -> "Folder":
        """The folder that this one is in."""

    def __truediv__(self, name: str) -> "Folder": ...

    def __str__(self) -> str: ...

    def is_there(self) -> bool:
        """Return whether the folder can be seen from here."""

    def make(self) -> None:
        """Create the folder if it does not exist."""

    def unwritable(self) -> str | None:
        """Return why the folder could not be made and written, and what to do; None if it could.

        Raises OSError where nothing but a full disk is in the way.
        """

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the content of a file, piece by piece."""

    def content(self, name: str) -> bytes:
        """Return the content of a small file, all of it from one moment."""

    def write(self, name: str, content: bytes) -> None:
        """Replace a file. If that fails, the old content stays."""

    def exists(self, name: str) -> bool:
        """Return whether there is a file of this name."""

    def written(self, name: str) -> float | None:
        """Return when a file was last written, in seconds since 1970; None where none is seen."""

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""

    def watch(self, names: Iterable[str]) -> Callable[[], bool]:
        """Return what says, in no time, whether one of some files is there or was a second ago."""

    def growing(self, name: str) -> Growing:
        """Return a file that only grows."""

    def folders(self, start: str) -> list[str]:
        """Return the names of the folders in this one that begin with `start`, sorted.

        In a bucket those count that were written by `put`.
        """

    def begun(self, start: str) -> list[str]:
        """Return the names of all folders that begin with `start` and have a file, sorted."""

    def files(self) -> list[str]:
        """Return the names of the files in this folder, sorted; none where it is not there."""

    def put(self, name: str, contents: Iterable[tuple[str, bytes]]) -> None:
        """Write a folder of files in this one, in place of one of its name; the last is MARK.

        If that fails, or is killed, there is no new folder.
        """

    def drop(self, name: str) -> None:
        """Remove a folder in this one; no part of it is taken for a folder meanwhile."""

    def rename(self, name: str, new: str) -> None:
        """Give a folder in this one another name, which none has."""

    def sweep(self, starts: Iterable[str]) -> None:
        """Remove what killed `put` and `drop` have left of folders that begin so."""

    def here(self) -> AbstractContextManager[Path]:
        """Return a context in which the folder's files are on the disk of this machine."""

    def file_here(self, name: str) -> AbstractContextManager[Path]:
        """Return a context in which one of its files is on the disk of this machine."""
