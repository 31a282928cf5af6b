"""Write a file so that nobody ever sees half of it, not even after a power failure."""

import contextlib
import errno
import os
import secrets
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Of an OSError: nothing more fits on the disk, or into the quota."""


def write_whole(path: Path, content: str | bytes) -> None:
    """Replace a file in one step: a reader finds the old content or the new one.

    The content is on the disk before the name points to it, except on file systems that give no
    such guarantee for folders (some network ones). A failed write leaves nothing behind.
    """
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with scratch.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except BaseException as error:
        scratch.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == str(scratch):
            error.filename = str(path)
        raise
    sync_folder(path.parent)


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """Make a folder and those above it, where they are missing, and bring their names to the disk.

    Raises OSError.
    """
    missing = [one for one in folder.parents if not one.exists()]
    folder.mkdir(mode, parents=True, exist_ok=True)
    for one in (folder, *missing):
        sync_folder(one.parent)


def nearest_there(path: Path) -> Path:
    """Return a path or, if nothing is there, the nearest folder above it where something is.

    A link is something, wherever it leads. Raises OSError, as for a name that is too long.
    """
    return next(one for one in (path, *path.parents) if one.exists() or one.is_symlink())


def sync_folder(folder: Path) -> None:
    """Bring to the disk which files a folder has, and by which names, where that is possible."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
