"""Record what a program does to the files below a folder, one operation after the other.

Python's own ways to the disk are watched: `open`, `os`, and what is built on them. Whoever uses a
trace compares what it leads to with the real folder (`disk.py`), so that nothing escapes it.
"""

import builtins
import contextlib
import io
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

Name = str | os.PathLike[str]


@dataclass(frozen=True)
class Operation:
    """One step: `kind` is what is done to `path`, which is relative to the folder.

    to: the new path of what is renamed. at: where bytes are written, or the size after a cut.
    data: what is written; of "promise", what the program says is safe from here on.
    """

    kind: str
    path: str = ""
    to: str = ""
    at: int = 0
    data: Any = b""


@dataclass
class Trace:
    """The operations on files below `root`, in their order."""

    root: Path
    operations: list[Operation] = field(default_factory=list)
    open_files: dict[int, str] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)  # type: ignore[valid-type]

    def promise(self, what: Any) -> None:
        """Note that the program relies on something from here on, whatever happens."""
        self.operations.append(Operation("promise", data=what))

    def add(self, kind: str, path: str | None, **more: Any) -> None:
        """Note an operation; those elsewhere do not count."""
        if path is not None:
            self.operations.append(Operation(kind, path, **more))

    def inside(self, path: Any, folder: int | None = None) -> str | None:
        """Return a path relative to the root; None for one outside. folder: that it starts from."""
        if isinstance(path, int):
            return self.open_files.get(path)
        begin = self.open_files.get(folder, "") if folder is not None else ""
        whole = Path(os.path.normpath(Path.cwd() / self.root / begin / os.fspath(path)))
        return str(whole.relative_to(self.root)) if whole.is_relative_to(self.root) else None


class _File(io.FileIO):
    """A file that notes what is written to it."""

    def __init__(self, trace: Trace, path: Name, mode: str) -> None:
        super().__init__(path, mode)
        self._trace, self._within = trace, trace.inside(path)
        if self._within is not None:
            trace.open_files[self.fileno()] = self._within

    def write(self, data: Any) -> int:
        with self._trace.lock:
            return self._write(data)

    def _write(self, data: Any) -> int:
        at = os.fstat(self.fileno()).st_size if "a" in self.mode else self.tell()
        count = super().write(data)
        self._trace.add("write", self._within, at=at, data=bytes(data)[:count])
        return count

    def truncate(self, size: int | None = None) -> int:
        left = super().truncate(size)
        self._trace.add("cut", self._within, at=left)
        return left

    def close(self) -> None:
        if not self.closed:
            self._trace.open_files.pop(self.fileno(), None)
        super().close()


def _opening(trace: Trace, real: Callable[..., Any]) -> Callable[..., Any]:
    def open_(
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        writes = set(mode) & set("wax+")
        if isinstance(file, int) or not writes or trace.inside(file) is None:
            return real(file, mode, buffering, encoding, errors, newline, closefd, opener)
        existed = Path(file).exists()
        raw = _File(trace, file, mode.replace("b", "").replace("t", ""))
        if not existed:
            trace.add("create", trace.inside(file))
        elif "w" in mode:
            trace.add("cut", trace.inside(file), at=0)
        if buffering == 0:
            return raw
        whole = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return whole if "b" in mode else io.TextIOWrapper(whole, encoding, errors, newline)

    return open_


@dataclass
class _Calls:
    """What takes the place of functions of `os`. real: these, by name."""

    trace: Trace
    real: dict[str, Callable[..., Any]]

    def by_name(self) -> dict[str, Callable[..., Any]]:
        """Return what to call for each function."""
        return {
            "open": self.open,
            "close": self.close,
            "write": self.write,
            **{name: partial(self.sync, name) for name in ("fsync", "fdatasync")},
            **{name: partial(self.move, name) for name in ("rename", "replace")},
            **{name: partial(self.change, name, "remove") for name in ("unlink", "remove")},
            "rmdir": partial(self.change, "rmdir", "remove"),
            "mkdir": partial(self.change, "mkdir", "mkdir"),
            **{name: partial(self.cut, name) for name in ("truncate", "ftruncate")},
            **{name: partial(self.forbid, name) for name in UNTRACED},
        }

    def open(self, path: Name, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        within = self.trace.inside(path, dir_fd)
        existed = within is None or (self.trace.root / within).exists()
        descriptor = int(self.real["open"](path, flags, mode, dir_fd=dir_fd))
        if within is not None:
            self.trace.open_files[descriptor] = within
        if not existed:
            self.trace.add("create", within)
        elif flags & os.O_TRUNC:
            self.trace.add("cut", within, at=0)
        return descriptor

    def close(self, descriptor: int) -> None:
        self.trace.open_files.pop(descriptor, None)
        self.real["close"](descriptor)

    def write(self, descriptor: int, data: Any) -> int:
        within = self.trace.open_files.get(descriptor)
        at = os.lseek(descriptor, 0, os.SEEK_CUR) if within is not None else 0
        count = int(self.real["write"](descriptor, data))
        self.trace.add("write", within, at=at, data=bytes(data)[:count])
        return count

    def sync(self, name: str, file: Any) -> None:
        self.real[name](file)
        self.trace.add("sync", self.trace.inside(file if isinstance(file, int) else file.fileno()))

    def move(self, name: str, source: Name, target: Name, **more: Any) -> None:
        self.real[name](source, target, **more)
        ends = self.trace.inside(source), self.trace.inside(target)
        assert (ends[0] is None) == (ends[1] is None), "moved into the folder, or out of it"
        self.trace.add("rename", ends[0], to=ends[1])

    def change(
        self, name: str, kind: str, path: Name, *more: Any, dir_fd: int | None = None
    ) -> None:
        within = self.trace.inside(path, dir_fd)
        self.real[name](path, *more, dir_fd=dir_fd)
        self.trace.add(kind, within)

    def cut(self, name: str, path: Any, length: int) -> None:
        self.real[name](path, length)
        self.trace.add("cut", self.trace.inside(path), at=length)

    def forbid(self, name: str, *given: Any, **more: Any) -> Any:
        assert all(self.trace.inside(path) is None for path in given[:2]), f"untraced: os.{name}"
        return self.real[name](*given, **more)


def _one_at_a_time(lock: Any, call: Callable[..., Any], *given: Any, **more: Any) -> Any:
    """Keep what a thread does and its place in the trace together."""
    with lock:
        return call(*given, **more)


UNTRACED = ("link", "symlink", "sendfile", "copy_file_range", "pwrite", "writev")
"""What nobody does to the files so far."""


@contextlib.contextmanager
def tracing(root: Path) -> Iterator[Trace]:
    """Trace what this process does below a folder until the end of the block."""
    trace = Trace(root.resolve())
    calls = _Calls(trace, dict(vars(os))).by_name()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(shutil, "_USE_CP_SENDFILE", False)
        opening = _opening(trace, io.open)
        for module in (builtins, io):
            patched.setattr(module, "open", opening)
        for name, call in calls.items():
            patched.setattr(os, name, partial(_one_at_a_time, trace.lock, call))
        yield trace
