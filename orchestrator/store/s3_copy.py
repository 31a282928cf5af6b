"""Copies of objects of S3 on the disk of this machine, for whoever reads files alone.

They are in the node's cache. A copy belongs to one content of its object: one that has changed is
fetched again. It stays at least until this process ends.
"""

import contextlib
from pathlib import Path

from orchestrator.store.s3 import S3Folder
from orchestrator.store.s3_files import S3Path, Tree

_used: dict[Path, contextlib.ExitStack] = {}
"""What keeps the copies that this process has asked for."""


def copy_here(uri: str) -> Path:
    """Return a copy of an object s3://BUCKET/KEY; of several processes one fetches it.

    Raises FileNotFoundError without such an object, StorageTrouble, and UsageError where the copy
    cannot be kept.
    """
    asked = S3Folder.at(uri)
    place = S3Path(asked.bucket, asked.prefix, Tree(asked.bucket))  # nothing is known from before
    with contextlib.ExitStack() as stack:
        try:
            path = stack.enter_context(place.here())
        except FileNotFoundError:
            next(asked.bucket.objects(asked.prefix), None)  # says so if there is no such bucket
            raise
        before = _used.pop(path, None)
        _used[path] = stack.pop_all()
        if before:
            before.close()
    return path
