"""A folder on a disk."""

import contextlib
import errno
import glob
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.files import FULL, make_folder, nearest_there, sync_folder, write_whole

CHUNK = 1 << 20
"""How many bytes are read at once."""


@dataclass(frozen=True)
class DiskFolder:
    """A `Folder` that is one of the file system. A hidden name is that of an unfinished folder."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def __fspath__(self) -> str:
        return str(self.path)

    def __truediv__(self, name: str) -> "DiskFolder":
        return DiskFolder(self.path / name)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.name

    @property
    def parent(self) -> "DiskFolder":
        """The folder that this one is in."""
        return DiskFolder(self.path.parent)

    def is_there(self) -> bool:
        """Return whether the folder can be seen from here."""
        return self.path.is_dir()

    def make(self) -> None:
        """Create the folder if it does not exist."""
        make_folder(self.path)

    def unwritable(self) -> str | None:
        """Write and remove a file in the nearest folder above that exists; say what is wrong then.

        Rights alone tell too little: root has them on a disk that is full or only to be read.
        Raises OSError where it is full.
        """
        try:
            nearest = nearest_there(self.path)
        except OSError as error:  # a name that is too long for this file system
            return f"{self} cannot be written ({error.strerror})"
        if not nearest.is_dir():
            return _no_folder(nearest)
        probe = nearest / f".orch-{secrets.token_hex(4)}"
        try:
            probe.write_bytes(b"orch asks whether it can write here")
        except OSError as error:
            if error.errno in FULL:
                raise
            return f"{nearest} cannot be written ({error.strerror})"
        finally:
            with contextlib.suppress(OSError):
                probe.unlink()
        return None

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the content of a file, piece by piece."""
        with (self.path / name).open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk

    def content(self, name: str) -> bytes:
        """Return the content of a file."""
        return (self.path / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """Replace a file."""
        write_whole(self.path / name, content)

    def exists(self, name: str) -> bool:
        """Return whether there is a file of this name."""
        return (self.path / name).exists()

    def written(self, name: str) -> float | None:
        """Return when a file was last written; None where none is seen."""
        return _written(self.path / name)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        (self.path / name).unlink(missing_ok=True)

    def watch(self, names: Iterable[str]) -> Callable[[], bool]:
        """Return what says whether one of some files is there."""
        paths = [self.path / name for name in names]
        return lambda: any(path.exists() for path in paths)

    def growing(self, name: str) -> "DiskLines":
        """Return a file that only grows."""
        return DiskLines(self.path / name)

    def folders(self, start: str) -> list[str]:
        """Return the names of the folders in this one that begin with `start`, sorted."""
        found = self.path.glob(f"{glob.escape(start)}*")
        return sorted(path.name for path in found if path.is_dir())

    def begun(self, start: str) -> list[str]:
        """Return the names of the folders in this one that begin with `start`, sorted."""
        return self.folders(start)

    def files(self) -> list[str]:
        """Return the names of the files in this folder, sorted, without hidden ones."""
        return sorted(path.name for path in self.path.glob("[!.]*") if path.is_file())

    def put(self, name: str, contents: Iterable[tuple[str, bytes]]) -> None:
        """Write a folder in this one under a hidden name, then give it its own."""
        target, scratch = self.path / name, self.path / f".{name}.new"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        try:
            for file, content in contents:
                write_whole(scratch / file, content)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
        if target.exists():
            self.drop(name)
        scratch.rename(target)
        sync_folder(self.path)

    def drop(self, name: str) -> None:
        """Give a folder in this one a hidden name, then remove it."""
        hidden = self.path / f".{name}.old"
        shutil.rmtree(hidden, ignore_errors=True)
        shutil.rmtree((self.path / name).rename(hidden))

    def rename(self, name: str, new: str) -> None:
        """Give a folder in this one another name."""
        (self.path / name).rename(self.path / new)

    def sweep(self, starts: Iterable[str]) -> None:
        """Remove the hidden folders of these beginnings."""
        for start in starts:
            for folder in self.path.glob(f".{glob.escape(start)}*"):
                shutil.rmtree(folder, ignore_errors=True)

    def here(self) -> AbstractContextManager[Path]:
        """Return a context with the folder itself."""
        return contextlib.nullcontext(self.path)

    def file_here(self, name: str) -> AbstractContextManager[Path]:
        """Return a context with one of its files itself."""
        return contextlib.nullcontext(self.path / name)


@dataclass(frozen=True)
class DiskLines:
    """A `Growing` file. A last line that a kill left incomplete does not count."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def exists(self) -> bool:
        """Return whether anything was written."""
        return self.path.exists()

    def append(self, line: bytes, *, durable: bool) -> None:
        """Write a line. durable: it is on the disk when this returns.

        Raises OSError, also where only a part of the line found room; that does not count.
        """
        self._drop_torn_line()
        is_new = not self.path.exists()
        with self.path.open("ab", buffering=0) as file:
            if file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            if durable:
                os.fsync(file.fileno())
        if is_new:
            sync_folder(self.path.parent)

    def put_first(self, line: bytes) -> None:
        """Write a line before all that is there."""
        write_whole(self.path, line + self.path.read_bytes())

    def read(self, start: int = 0) -> bytes:
        """Return the whole lines behind a mark in bytes."""
        if not self.path.exists():
            return b""
        with self.path.open("rb") as file:
            file.seek(start)
            content = file.read()
        return content[: content.rfind(b"\n") + 1]

    def sync(self) -> None:
        """Bring to the disk what another process may only just have written."""
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        sync_folder(self.path.parent)

    def size(self) -> int:
        """Return the bytes of the file, a torn last line included."""
        return self.path.stat().st_size

    def written(self) -> float | None:
        """Return when the file last grew; None where none is seen."""
        return _written(self.path)

    def _drop_torn_line(self) -> None:
        if not self.path.exists() or self._ends_whole():
            return
        content = self.path.read_bytes()
        os.truncate(self.path, content.rfind(b"\n") + 1)

    def _ends_whole(self) -> bool:
        with self.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 1, 0))
            return file.read() in (b"", b"\n")


def _no_folder(path: Path) -> str:
    """Return what is at a path instead of a folder: a file, or a link that leads nowhere."""
    try:
        path.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            return f"{path} is a link that leads in a circle"
        return f"{path} is a link to {os.path.realpath(path)}, which is not there"
    return f"{path} is a file, not a folder"


def _written(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None
