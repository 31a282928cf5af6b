"""Secrets on their way from `orch submit` to a job's processes: a file that only its owner reads.

Ray's pages show the environment of a job, so it holds no secrets, only the path of this file.
"""

import contextlib
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from orchestrator.errors import UsageError

VARIABLE = "ORCH_SECRETS_FILE"


def leave(folder: Path, submission_id: str, values: Mapping[str, str]) -> Path:
    """Write environment variables for a job into a folder that is closed to others."""
    folder.mkdir(mode=0o700, exist_ok=True)
    file = folder / f"{submission_id}.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(dict(values)), encoding="utf-8")
    return file


def sweep(folder: Path, active: Collection[str]) -> None:
    """Remove what was left for jobs that have ended without removing it."""
    for file in folder.glob("*.json"):
        if file.stem not in active:
            file.unlink(missing_ok=True)


def take_up() -> None:
    """Set the variables that were left for this job. Every process that needs them calls this.

    Raises UsageError when they were left and cannot be read.
    """
    if not (file := os.environ.get(VARIABLE)):
        return
    try:
        os.environ.update(json.loads(Path(file).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"The secrets that were left for this job in {file} cannot be read ({error}). "
            "Submit it again."
        ) from error


def remove() -> None:
    """Remove the file of this job, which has ended."""
    if file := os.environ.get(VARIABLE):
        with contextlib.suppress(OSError):
            Path(file).unlink()
