"""Copies of objects of S3 on the disk of this machine, for whoever reads files alone.

They are in orch's own folder. A copy belongs to one content of its object: one that has changed is
fetched again.
"""

import errno
import fcntl
import hashlib
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
            if path.exists() and path.stat().st_size == found.size:
                return path
            if (content := _fetched(place.bucket, found)) is not None:
                _keep(path, content)
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
        raise home.cannot_keep(error) from error


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let the other processes of this machine that want the same copy wait."""
    try:
        lock = path.with_suffix(".lock").open("w")
    except OSError as error:
        raise home.cannot_keep(error) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
