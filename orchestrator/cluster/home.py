"""Where orch keeps what it remembers: $ORCH_HOME, or a folder of the user's state."""

import os
from pathlib import Path

from orchestrator.errors import UsageError


def orch_home() -> Path:
    """Return orch's own folder. It need not exist yet."""
    if given := os.environ.get("ORCH_HOME"):
        return Path(given).expanduser().absolute()
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "orch"


def folder(name: str) -> Path:
    """Return a folder inside orch's own, made if need be, closed to other users.

    Raises UsageError when it cannot be made.
    """
    path = orch_home() / name
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UsageError(
            f"orch cannot keep its records in {orch_home()} ({error.strerror}). Set ORCH_HOME to "
            "a folder that you can write."
        ) from error
    return path
