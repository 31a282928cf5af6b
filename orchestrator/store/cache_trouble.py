"""What is said where copies of objects cannot be kept on a disk."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from orchestrator.errors import UsageError
from video import anywhere


class LostCopy(UsageError, anywhere.LostCopy):
    """A file or folder of the cache is gone: somebody has removed it."""


@contextlib.contextmanager
def kept_in(folder: Path, *passed_on: type[OSError]) -> Iterator[None]:
    """Let an error of the disk say what to do, but for some kinds."""
    try:
        yield
    except passed_on:
        raise
    except OSError as error:
        kind = LostCopy if isinstance(error, FileNotFoundError) else UsageError
        raise kind(advice(folder, error.strerror)) from error


def advice(folder: Path, trouble: str | None) -> str:
    """Return what to do where copies cannot be kept in a folder."""
    return (
        f"Copies of objects cannot be kept in {folder} ({trouble}). Let ORCH_CACHE name a folder "
        "that can be written and has room; ORCH_CACHE_GB limits what they take."
    )
