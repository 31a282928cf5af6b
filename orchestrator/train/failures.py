"""What an error in a worker means: what went wrong, where, and whether to try again can help.

An error in the code, the settings or the data would occur again, so it ends the run at once. Only
lost processes are restarted: see `patience.py`.
"""

import os
import traceback
from pathlib import Path

import torch

import orchestrator
from orchestrator.data.ahead import LostLoader
from orchestrator.errors import JobFailed, OrchError, Unreachable, UsageError
from orchestrator.files import FULL
from orchestrator.plan.batch import LARGER_PASS, SMALLER_PASS
from orchestrator.store.folder import StorageTrouble

_BY_CODE = {1: JobFailed, 2: UsageError, 3: Unreachable}
_ROOT = Path(orchestrator.__file__).parents[1]


def is_lost_process(error: Exception) -> bool:
    """Return whether an error only means that another process is gone.

    `LostRank` always does. A loader process can be killed by itself.
    """
    return isinstance(error, LostLoader)


def as_failure(error: Exception, run_dir: str, rank: int | None = None) -> OrchError:
    """Return the failure to report to the user; it can be sent from process to process."""
    if isinstance(error, StorageTrouble):
        return JobFailed(
            f"{run_dir} can no longer be used: {error}. The last checkpoint is still there; once "
            "the storage answers, `orch resume` continues from it."
        )
    if isinstance(error, OrchError):
        return _BY_CODE[error.exit_code](str(error))
    if full := _full(error):
        return JobFailed(
            f"Nothing more can be written to {_folder(error, run_dir)}: {full}. The last "
            "checkpoint is still there; free some space, and `orch resume` continues from it."
        )
    who = "" if rank is None else f" (rank {rank})"
    message = f"{type(error).__name__}{_place(error)}{who}: {first_line(error)}"
    return JobFailed(f"{message} {_advice(error)}")


def _full(error: Exception) -> str | None:
    """Return the system's message for a full disk or quota, also from shutil's own error."""
    if not isinstance(error, OSError):
        return None
    texts = (os.strerror(code) for code in FULL)
    return next((text for text in texts if text in f"{error.strerror} {error}"), None)


def _folder(error: Exception, run_dir: str) -> str:
    named = Path(getattr(error, "filename", None) or run_dir)
    return run_dir if named.is_relative_to(run_dir) else str(named.parent)


def first_line(error: object) -> str:
    """Return the first nonempty line of an error's text."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else "no message."


def _place(error: Exception) -> str:
    """Return " in FILE:LINE", the deepest line of our own code that the error came through."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(_ROOT) and "site-packages" not in path.relative_to(_ROOT).parts:
            return f" in {path.relative_to(_ROOT)}:{frame.lineno}"
    return ""


def _advice(error: Exception) -> str:
    text = str(error)
    if "Expected more than 1 value per channel" in text:
        return LARGER_PASS
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in text:
        return SMALLER_PASS
    return "It was not retried, since it would only happen again. The log has the traceback."
