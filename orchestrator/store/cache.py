"""Copies on this node's disk of what can be fetched again: shared by processes, bounded in bytes.

The name of a copy says which content it is of, its size and its CRC-32; a file has such a name once
it is whole. Until then its name is hidden, and whoever fetches it holds a lock on it, for which all
others wait that want the same. Who reads a copy holds a lock, too, and what is locked is not
removed. A lock ends with its process: one that is killed leaves a hidden file that nobody holds,
and the next one to look for room removes it.
"""

import contextlib
import fcntl
import hashlib
import os
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Protocol

from orchestrator.errors import UsageError
from orchestrator.store.cache_trouble import LostCopy, advice, kept_in
from orchestrator.store.folder import StorageTrouble
from video import anywhere
from video.library import cache_folder

ATTEMPTS = 5
"""How often something is fetched that does not arrive as it was sent."""
SHARE_OF_DISK, MOST_OF_DISK = 0.5, 0.95
"""Of the bytes that the disk has for copies, how many they take: without a limit, and with one."""
SPARE = 20
"""When copies are removed, one part in so many of the limit is left free beyond what is needed."""
CHUNK = 1 << 20
LARGE = 64 << 20
"""Bytes of a copy beyond which only its size is compared with its name, once it was fetched."""
_CHECKED_AT_MOST = 100_000
"""Copies that a process remembers to have checked; beyond them it begins again."""
_DIGITS = 20
"""Of the count of bytes in its file, which is not whole with fewer."""

_checked: set[int] = set()


class Damaged(Exception):
    """What arrived is not what was sent."""


class Arriving(Protocol):
    """Bytes on their way. size: how many there are."""

    @property
    def size(self) -> int: ...

    def __iter__(self) -> Iterator[bytes]:
        """Yield them. Raises Damaged where they are not what was sent."""


@dataclass(frozen=True)
class Cache:
    """Copies in a folder. limit: bytes that they may take together; None: half of what is free.

    A single copy may be larger than that, and stays until the next one needs room.
    """

    folder: Path
    limit: int | None = None

    @classmethod
    def of_node(cls) -> "Cache":
        """Return the cache in this node's cache folder; ORCH_CACHE_GB limits it, in 10^9 bytes.

        Raises UsageError where that is no number above 0.
        """
        given = os.environ.get("ORCH_CACHE_GB")
        try:
            limit = None if given is None else int(float(given) * 1e9)
            if limit is not None and limit <= 0:
                raise ValueError
        except (ValueError, OverflowError) as error:
            raise UsageError(f"ORCH_CACHE_GB: expected a number above 0, got {given!r}.") from error
        return cls(cache_folder() / "objects", limit)

    @contextlib.contextmanager
    def reading(self, content: str, suffix: str, begin: Callable[[], Arriving]) -> Iterator[Path]:
        """Give a copy, which stays at least until the end of the block.

        content: names what it is a copy of. suffix: of the file's name. begin: begins to fetch it;
        what it raises is passed on. Raises StorageTrouble for what always arrives damaged,
        UsageError where copies cannot be kept, and LostCopy, which is a kind of it, for what fails
        in the block while the copy is no longer there.
        """
        path, file = anywhere.read_again(lambda: self._ready(content, suffix, begin))
        try:
            yield path
        except Exception as error:
            if _is_at(path, file):
                raise
            raise LostCopy(advice(self.folder, "copies are removed while they are read")) from error
        finally:
            os.close(file)

    @contextlib.contextmanager
    def kept(self, content: str) -> Iterator[Path | None]:
        """Give a copy if there is one; nothing is fetched."""
        held = self._held(content)
        try:
            yield held and held[0]
        finally:
            if held:
                os.close(held[1])

    def _ready(self, content: str, suffix: str, begin: Callable[[], Arriving]) -> tuple[Path, int]:
        while (held := self._held(content)) is None:
            self._fetch(content, suffix, begin)
        return held

    def _held(self, content: str) -> tuple[Path, int] | None:
        """Return a copy and an open file that keeps it, if there is one that is whole."""
        _trim(self)
        path = self._found(content)
        if path is None:
            return None
        with kept_in(self.folder):
            try:
                file = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                return None
            fcntl.flock(file, fcntl.LOCK_SH)
            if not _is_whole(path, file) and _is_at(path, file):
                path.unlink(missing_ok=True)
            if (seen := os.fstat(file)).st_nlink:
                with contextlib.suppress(OSError):  # the folder may be another one's, or fixed
                    os.utime(file, ns=(time.time_ns(), seen.st_mtime_ns))
                return path, file
            os.close(file)
            return None

    def _found(self, content: str) -> Path | None:
        folder, name = self._place(content)
        start = f"{name}-"
        try:
            with kept_in(self.folder, FileNotFoundError), os.scandir(folder) as entries:
                found = next((one.name for one in entries if one.name.startswith(start)), None)
        except FileNotFoundError:
            return None
        return folder / found if found else None

    def _place(self, content: str) -> tuple[Path, str]:
        """Return the folder of a copy and how its name begins; of a million, 20 share a folder."""
        digest = hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest()
        return self.folder / digest[:4], digest[4:32]

    def _fetch(self, content: str, suffix: str, begin: Callable[[], Arriving]) -> None:
        """Fetch a copy, or wait for the process that does."""
        folder, name = self._place(content)
        part = folder / f".{name}"
        with kept_in(self.folder):
            folder.mkdir(parents=True, exist_ok=True)
            file = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT, 0o644), "r+b")
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(part, file.fileno()):
                return  # another process has ended it
            if self._found(content) is not None:
                part.unlink(missing_ok=True)
                return
            try:
                whole = folder / f"{name}-{self._arrived(file, content, begin)}{suffix}"
                with kept_in(self.folder):
                    part.rename(whole)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
            _remember(whole)

    def _arrived(self, file: BinaryIO, content: str, begin: Callable[[], Arriving]) -> str:
        """Write what arrives to a file; return its size and CRC-32 as they are in a name."""
        for _ in range(ATTEMPTS):
            arriving = begin()
            self._reserve(file, arriving.size)
            try:
                crc = self._written(file, arriving)
            except Damaged:
                self._release(file)
                continue
            except BaseException:
                with contextlib.suppress(UsageError):  # it would hide what has gone wrong
                    self._release(file)
                raise
            return f"{arriving.size:x}-{crc:08x}"
        raise StorageTrouble(f"{content}: it arrives damaged, {ATTEMPTS} times of {ATTEMPTS}")

    def _written(self, file: BinaryIO, arriving: Arriving) -> int:
        crc, done = 0, 0
        for chunk in arriving:
            crc, rest = zlib.crc32(chunk, crc), memoryview(chunk)
            while rest:
                with kept_in(self.folder):
                    written = os.pwrite(file.fileno(), rest, done)
                done, rest = done + written, rest[written:]
        if done != arriving.size:
            raise Damaged
        with kept_in(self.folder):
            os.fdatasync(file.fileno())
            os.utime(file.fileno(), ns=(time.time_ns(), 0))  # a copy is always as old as another
        return crc

    def _reserve(self, file: BinaryIO, size: int) -> None:
        """Give a file its size, once there is room for it."""
        with self._counting() as counter:
            taken, limit = counter.taken, self._most(counter.taken)
            if taken + size > limit:
                taken = _freed(self.folder, limit - size, limit // SPARE)
            counter.taken = taken + size
            os.truncate(file.fileno(), size)

    def _release(self, file: BinaryIO) -> None:
        with self._counting() as counter:
            counter.taken -= os.fstat(file.fileno()).st_size
            os.truncate(file.fileno(), 0)

    def _most(self, taken: int) -> int:
        disk = os.statvfs(self.folder)
        room = taken + disk.f_bavail * disk.f_frsize
        if self.limit is None:
            return int(room * SHARE_OF_DISK)
        return min(self.limit, int(room * MOST_OF_DISK))

    @contextlib.contextmanager
    def _counting(self) -> Iterator["_Counter"]:
        """Give the bytes that all files take, parts with their full size; no other process may."""
        with kept_in(self.folder), (self.folder / "taken").open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            said = file.read()
            known = len(said) == _DIGITS and said.isdigit()
            counter = _Counter(int(said) if known else _freed(self.folder, None))
            yield counter
            file.truncate(0)
            file.write(b"%0*d" % (_DIGITS, max(0, counter.taken)))


@lru_cache(maxsize=8)
def _trim(cache: Cache) -> None:
    """Bring the copies within their limit, which may be lower than it was; once in a process."""
    if not os.access(cache.folder, os.W_OK):
        return
    with cache._counting() as counter:
        if counter.taken > (most := cache._most(counter.taken)):
            counter.taken = _freed(cache.folder, most)


@dataclass
class _Counter:
    """taken: bytes. One who is killed may leave it too high, which the next look around mends."""

    taken: int


def _freed(folder: Path, most: int | None, spare: int = 0) -> int:
    """Remove the copies longest unused until at most `most` bytes are taken; return how many are.

    If any has to go, `spare` bytes more go with it. Remains of killed processes always go.
    """
    copies = []
    taken = 0
    for path in folder.glob("*/*"):
        with contextlib.suppress(FileNotFoundError):
            if path.name.startswith(".") and _removed(path):
                continue
            facts = path.stat()
            taken += facts.st_size
            if not path.name.startswith("."):
                copies.append((facts.st_atime_ns, facts.st_size, path))
    if most is None or taken <= most:
        return taken
    for _, size, path in sorted(copies):
        if taken <= most - spare:
            break
        with contextlib.suppress(FileNotFoundError):
            taken -= size if _removed(path) else 0
    return taken


def _removed(path: Path) -> bool:
    """Remove a file unless a process holds it; return whether it is gone."""
    with path.open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if _is_at(path, file.fileno()):
            path.unlink()
    return True


def _is_at(path: Path, file: int) -> bool:
    """Return whether a path still leads to an open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def _is_whole(path: Path, file: int) -> bool:
    """Return whether a copy is what its name says; its content is read once by each process.

    Not that of a large one: minutes would pass before a shard is used.
    """
    size, crc = path.stem.split("-")[1:3]
    if os.fstat(file).st_size != int(size, 16):
        return False
    if hash(path) in _checked or int(size, 16) > LARGE:
        return True
    found = 0
    while chunk := os.read(file, CHUNK):
        found = zlib.crc32(chunk, found)
    if found != int(crc, 16):
        return False
    _remember(path)
    return True


def _remember(path: Path) -> None:
    if len(_checked) >= _CHECKED_AT_MOST:
        _checked.clear()
    _checked.add(hash(path))
