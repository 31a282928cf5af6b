"""What is known of the copies in a folder: of which file each was made, how, and what came out.

A line of JSON for each copy. Lines are added while copies are made; the last one may be cut short
by a kill, and then that copy is made again.
"""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.files import sync_folder, write_whole
from orchestrator.typed_json import made_of, plain

NAME = "manifest.jsonl"
BEGUN = ".begun.json"
"""The names of the copies that a command was going to make; it is gone when they are made."""
SCRATCH = ".preparing"
"""The ending of a copy that is being made."""


@dataclass(frozen=True)
class Options:
    """How copies are made; what a format does not use is 0. See `orch data prepare --help`."""

    format: str
    short_side: int
    gop: int = 0
    crf: int = 0
    frames: int = 0
    quality: int = 0


@dataclass(frozen=True)
class Source:
    """A file as it was when its copy was made.

    name: its path below the data set's folder. mtime_ns: 0 in a bucket, where identity is what no
    other content of it is called; that is empty on a disk.
    """

    name: str
    size: int
    mtime_ns: int
    sha256: str
    identity: str = ""


@dataclass(frozen=True)
class LeftOut:
    """Something that has no copy, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Copy:
    """A copy. name: its path in the folder; frames: how many it has, and its source.

    Of a shard, frames are its images, and left_out those that cannot be read.
    """

    name: str
    frames: int
    size: int
    source: Source
    options: Options
    left_out: tuple[LeftOut, ...] = ()


def read_manifest(folder: Path) -> dict[str, Copy]:
    """Return the copies of a folder by the names of their sources; a last line may be cut short.

    Raises UsageError for a file of another origin.
    """
    try:
        *lines, last = (folder / NAME).read_bytes().split(b"\n")
    except FileNotFoundError:
        return {}
    copies = {}
    for number, line in enumerate(lines, start=1):
        try:
            copy = made_of(Copy, json.loads(line))
        except ValueError as error:
            raise _foreign(folder, f"line {number}: {error}") from error
        copies[copy.source.name] = copy
    if last and not copies and not last.startswith(b'{"name": '):
        raise _foreign(folder, "no line of it is of a copy")
    return copies


def _foreign(folder: Path, why: str) -> UsageError:
    return UsageError(
        f"{folder / NAME} is not as `orch data prepare` writes it ({why}): it is not replaced. "
        "Name another folder."
    )


def write_manifest(folder: Path, copies: dict[str, Copy]) -> None:
    """Write all lines, sorted by the names of the sources, in place of those that are there."""
    lines = "".join(_line(copies[name]) for name in sorted(copies))
    write_whole(folder / NAME, lines)


def add_to_manifest(folder: Path, copy: Copy) -> None:
    """Add a line; the copy is on the disk before it."""
    with (folder / NAME).open("a") as file:
        file.write(_line(copy))


def _line(copy: Copy) -> str:
    return json.dumps(plain(copy)) + "\n"


@contextlib.contextmanager
def at_work_in(folder: Path) -> Iterator[None]:
    """Be the only one that makes copies in a folder; remove what others left half done.

    Raises UsageError while another process is at work there.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(PermissionError, NotImplementedError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _clean(folder)
        yield
        _clean(folder)
    except BlockingIOError as error:
        raise UsageError(f"Another `orch data prepare` is at work in {folder}.") from error
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def in_one_step(target: Path) -> Iterator[Path]:
    """Give another name for a file that takes its own when it is whole and on the disk."""
    scratch = target.with_name(f".{secrets.token_hex(8)}{SCRATCH}")  # however long its name is
    try:
        yield scratch
        with scratch.open("rb") as opened:
            os.fsync(opened.fileno())
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)
    sync_folder(target.parent)


def _clean(folder: Path) -> None:
    for left in (*folder.rglob(f".*{SCRATCH}"), *_cut_short(folder)):
        left.unlink(missing_ok=True)


def _cut_short(folder: Path) -> Iterator[Path]:
    """Yield what is left of lists of copies whose writing was killed."""
    for name in (NAME, BEGUN):
        yield from folder.glob(f".{name}.{'[0-9a-f]' * 8}")
