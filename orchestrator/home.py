"""Where orch keeps its records: $ORCH_HOME, or a folder of the user's state."""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.files import make_folder, nearest_there, write_whole


def orch_home() -> Path:
    """Return orch's own folder. It need not exist yet."""
    if given := os.environ.get("ORCH_HOME"):
        return _expanded(given).absolute()
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():  # the XDG specification asks to ignore a relative path
        state = _expanded("~/.local/state")
    return state / "orch"


def folder(name: str) -> Path:
    """Return a folder inside orch's own, created if needed, closed to other users.

    Raises UsageError when it cannot be created.
    """
    path = orch_home() / name
    try:
        make_folder(path, 0o700)
    except OSError as error:
        raise cannot_keep(error, path) from error
    return path


def files_in(name: str) -> list[Path]:
    """Return the state files in a folder inside orch's own; none when there is no such folder.

    Raises UsageError when permissions hide them: "no runs yet" would be wrong.
    """
    path = orch_home() / name
    try:
        entries = list(path.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UsageError(
            f"orch cannot read its records in {path} ({error.strerror}). Set ORCH_HOME to a "
            "folder of your own."
        ) from error
    return [entry for entry in entries if entry.suffix == ".json" and entry.name[0] != "."]


def save(path: Path, content: str | bytes) -> None:
    """Write a state file completely. Raises UsageError when that is not possible."""
    try:
        write_whole(path, content)
    except OSError as error:
        raise cannot_keep(error, path) from error


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let other processes that ask for the same lock file wait meanwhile.

    The file stays. Raises UsageError when it cannot be written.
    """
    try:
        lock = path.open("wb")
    except OSError as error:
        raise cannot_keep(error, path) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def check_writable() -> None:
    """Raise UsageError when orch could not keep a record; creates nothing."""
    path = orch_home() / "runs"
    try:
        nearest = nearest_there(path)
        if not stat.S_ISDIR(nearest.stat().st_mode):  # an error for a link that leads nowhere
            raise NotADirectoryError(errno.ENOTDIR, "Not a directory", str(nearest))
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "Permission denied", str(nearest))
    except OSError as error:
        raise cannot_keep(error, path) from error


def cannot_keep(error: OSError, path: Path) -> UsageError:
    """Return the error for something that cannot be written to orch's own folder.

    path: what is named where the error names no file; that of a full disk does not.
    """
    return UsageError(
        f"orch cannot keep its records in {orch_home()} ({error.strerror}: "
        f"{error.filename or path}). "
        "Set ORCH_HOME to a folder that you can write."
    )


def _expanded(path: str) -> Path:
    """Return a path with `~` expanded."""
    try:
        return Path(path).expanduser()
    except RuntimeError:  # no HOME, and the user has no account here
        raise UsageError(
            f"orch finds no home folder for its records ({path}): HOME is not set, and user "
            f"{os.getuid()} has no account here. Set ORCH_HOME to a folder that you can write."
        ) from None
