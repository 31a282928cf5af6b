"""Copies of objects of S3 on the disk of this machine, for whoever reads files alone.

They are in orch's own folder. A copy belongs to one content of its object: one that has changed is
fetched again. When another is fetched, those go that nobody has used for long, and the ones longest
unused of those that are too large together; never one that a process has asked for and may read.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator import home
from orchestrator.files import write_whole
from orchestrator.store.folder import StorageTrouble
from orchestrator.store.s3 import S3Folder
from orchestrator.store.s3_bucket import Bucket, Object
from orchestrator.store.s3_client import Changed

CHANGES = 10
"""How often an object may change while it is fetched."""
KEPT_SECONDS = 30 * 24 * 3600.0
"""How long a copy is kept that nobody uses."""
KEPT_BYTES = 1 << 30
"""How large the copies may be together, but for those in use."""

_used: dict[Path, int] = {}
"""The open files by which this process keeps the copies that it uses."""


def copy_here(uri: str) -> Path:
    """Return a copy of an object s3://BUCKET/KEY; of several processes one fetches it.

    Raises FileNotFoundError without such an object, StorageTrouble, and UsageError where the copy
    cannot be kept.
    """
    place = S3Folder.at(uri)
    for _ in range(CHANGES):
        found = _found(place)
        path = home.folder("objects") / _name(uri, found)
        with _alone(path):
            if _is_whole(path, found.size) and _use(path):
                return path
            if (content := _fetched(place.bucket, found)) is not None:
                _keep(path, content)
                if _use(path):
                    _sweep(path.parent)
                    return path
    raise StorageTrouble(f"{uri}: it changed {CHANGES} times while it was fetched")


def _found(place: S3Folder) -> Object:
    found = place.bucket.find(place.prefix)
    if found is None:
        next(place.bucket.objects(place.prefix), None)  # says so if there is no such bucket
        raise FileNotFoundError(errno.ENOENT, "there is no such object", str(place))
    return found


def _name(uri: str, found: Object) -> str:
    """Return a name that no other content has."""
    content = hashlib.sha256(f"{uri} {found.tag} {found.size}".encode()).hexdigest()[:32]
    return f"{content}{Path(found.key).suffix}"


def _is_whole(path: Path, size: int) -> bool:
    return path.exists() and path.stat().st_size == size


def _use(path: Path) -> bool:
    """Keep a copy until this process ends; return whether it is still there."""
    try:
        copy = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    fcntl.flock(copy, fcntl.LOCK_SH)
    seen = os.fstat(copy)
    os.utime(copy, ns=(time.time_ns(), seen.st_mtime_ns))
    if (before := _used.pop(path, None)) is not None:
        os.close(before)
    _used[path] = copy
    return seen.st_nlink > 0


def _sweep(folder: Path) -> None:
    """Remove what is older or larger than is kept, longest unused first, as far as that goes."""
    seen = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            seen.append((path, path.stat()))
    total = sum(facts.st_size for _, facts in seen)
    for path, facts in sorted(seen, key=lambda one: _last_used(one[1])):
        is_old = time.time() - _last_used(facts) > KEPT_SECONDS
        is_copy = path.suffix != ".lock" and not path.name.startswith(".")
        with contextlib.suppress(OSError):
            if (is_old or (is_copy and total > KEPT_BYTES)) and _removed(path):
                total -= facts.st_size


def _last_used(facts: os.stat_result) -> float:
    return max(facts.st_atime, facts.st_mtime)


def _removed(path: Path) -> bool:
    """Remove a file unless a process uses it; return whether it is gone."""
    with path.open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        path.unlink()
    return True


def _fetched(bucket: Bucket, found: Object) -> bytes | None:
    """Return the content of an object; None if it has changed."""
    try:
        return b"".join(bucket.chunks(found.key, found.tag))
    except (Changed, FileNotFoundError):
        return None


def _keep(path: Path, content: bytes) -> None:
    try:
        write_whole(path, content)
    except OSError as error:
        raise home.cannot_keep(error, path) from error


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let the other processes of this machine that want the same copy wait."""
    try:
        lock = path.with_suffix(".lock").open("w")
    except OSError as error:
        raise home.cannot_keep(error, path) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
