"""Reach MLflow, and say in plain words what a server or a database refuses."""

import fcntl
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from orchestrator.errors import OrchError, RecordGone, Refused, Unreachable, UsageError
from orchestrator.job.tracking_uri import sqlite_file
from orchestrator.job.uri import masked

SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""MLflow itself waits four minutes per call for a dead server; the journal keeps what is not sent,
so a few seconds are enough. The links that it prints lead to the wrong pages."""

HURRY = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "3"}
"""The same for a command whose main purpose is something else."""

ONCE = SETTINGS | {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
"""The same for a process in which a thread that nobody waits for asks again."""

ELSEWHERE = "name another with tracking.uri or MLFLOW_TRACKING_URI"

_DATABASE: dict[str, tuple[type[OrchError], str]] = {
    "database is locked": (Unreachable, "is locked by another program; end that one"),
    "disk is full": (Refused, "cannot grow, its disk is full; free some space"),
    "readonly database": (Refused, "cannot be written; check its permissions"),
    "unable to open": (Refused, "cannot be opened; its folder must exist and be writable"),
    "not a database": (Refused, "is not a sqlite database; remove it"),
    "malformed": (Refused, "is damaged; restore a copy"),
    "disk I/O error": (Refused, "cannot be read or written, its disk has errors; check the disk"),
    "Can't locate revision": (Refused, "was made by a newer MLflow; install that version"),
    "out-of-date database schema": (
        Refused,
        "was made by an older MLflow; keep a copy, and run `mlflow db upgrade URI`",
    ),
}
"""Messages of sqlite and MLflow's migrations, the error that each becomes, and what to do."""


@contextmanager
def mlflow_client(uri: str, *, create: bool = False, hurry: bool = False) -> Iterator[Any]:
    """Yield an MLflow client with short timeouts. A sqlite file is only created with `create`.

    hurry: even shorter ones, for a command whose main purpose is something else.

    Raises Unreachable when nothing answers, RecordGone when the requested record does not exist,
    and Refused for everything else that the server or the database does not accept.
    """
    file = sqlite_file(uri)
    if file and not create and not file.exists():
        raise RecordGone(f"The record is not at {uri}: the file does not exist.")
    _need_a_home()
    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    from alembic.util.exc import CommandError
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with _settings(SETTINGS | HURRY if hurry else SETTINGS):
            yield _open(uri, file)
    except (MlflowException, SQLAlchemyError, CommandError, OSError, ImportError) as error:
        raise in_plain_words(uri, error) from error


def ask_once() -> None:
    """Let MLflow itself repeat no question in this process, for which the user has set nothing."""
    for name, value in ONCE.items():
        os.environ.setdefault(name, value)


@contextmanager
def _settings(values: Mapping[str, str]) -> Iterator[None]:
    """Set what the user has not set, and remove it again: jobs inherit the environment."""
    lacking = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(lacking)
    try:
        yield
    finally:
        for name in lacking:
            os.environ.pop(name, None)


def _need_a_home() -> None:
    """MLflow looks for its settings there when it is imported, and fails with a traceback."""
    try:
        Path.home()
    except RuntimeError:
        raise UsageError(
            "MLflow needs a home folder, and there is none: HOME is not set, and the user has no "
            "account on this machine. Set HOME to a folder that you can write."
        ) from None


def _open(uri: str, file: Path | None) -> Any:
    """Return a client. The first one of a sqlite file creates its tables, one process at a time."""
    from mlflow.tracking import MlflowClient

    if file is None:
        return MlflowClient(tracking_uri=uri)
    with _locked(file):
        spelling = _spelling(uri, file)
        client = MlflowClient(tracking_uri=spelling)
        _opened[uri] = spelling, _identity(file)
    return client


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Keep other processes of orch from opening the file, by a lock on its folder.

    Without a lock on file systems that cannot lock a folder (some network ones).
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


_opened: dict[str, tuple[str, tuple[int, int] | None]] = {}
"""The spelling with which each sqlite file's URI was opened, and the identity of that file."""


def _spelling(uri: str, file: Path) -> str:
    """Return the URI, in a new spelling when the file is not the one that was opened before.

    MLflow holds on to a database by its URI, even after the file was removed.
    """
    spelling, seen = _opened.get(uri, (uri, None))
    if seen is None or seen == _identity(file):
        return spelling
    folder, _, name = spelling.rpartition("/")
    return f"{folder}/./{name}"


def _identity(file: Path) -> tuple[int, int] | None:
    return (file.stat().st_dev, file.stat().st_ino) if file.exists() else None


def in_plain_words(uri: str, error: Exception) -> OrchError:
    """Return an error of MLflow or its database in words that help the user."""
    text = str(error)
    if file := sqlite_file(uri):
        return _of_file(file, uri, error)
    if not uri.startswith(("http://", "https://")) or _no_answer(text):
        return Unreachable(
            f"The tracking server at {masked(uri)} does not answer ({reason_of(text)}). "
            f"Start it, or {ELSEWHERE}."
        )
    kind, advice = _of_server(error)
    return kind(f"The tracking server at {masked(uri)} says: {reason_of(text)}. {advice}")


def _of_file(file: Path, uri: str, error: Exception) -> OrchError:
    text = str(error)
    if is_gone(error):
        return RecordGone(f"The record in {file} does not exist: {reason_of(text)}.")
    for words, (kind, meaning) in _DATABASE.items():
        if words in text:
            return kind(f"MLflow's file {file} {meaning.replace('URI', uri)}, or {ELSEWHERE}.")
    return Refused(f"MLflow's file {file} does not accept the record: {reason_of(text)}.")


def is_gone(error: Exception) -> bool:
    """Return whether an error of MLflow says that a record does not exist, or no longer does."""
    code, text = getattr(error, "error_code", None), str(error)
    return code == "RESOURCE_DOES_NOT_EXIST" or "Current state is deleted" in text


def _no_answer(text: str) -> bool:
    return text.startswith("API request to http") and "failed with" in text


def _of_server(error: Exception) -> tuple[type[OrchError], str]:
    """Return the type of a server's refusal, and what to do about it."""
    code, text = getattr(error, "error_code", None), str(error)
    if is_gone(error):
        return RecordGone, f"Restore it in MLflow, or {ELSEWHERE}."
    if code in ("UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED", "PERMISSION_DENIED"):
        return Refused, (
            "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, "
            "to credentials that it accepts."
        )
    if code in ("ENDPOINT_NOT_FOUND", "BAD_REQUEST") or "not in a valid JSON format" in text:
        return Refused, f"Is it an MLflow server? If not, {ELSEWHERE}."
    return Refused, f"Check the server, or {ELSEWHERE}."


def reason_of(text: str) -> str:
    """Return the essential words of an error message of several lines."""
    patterns = (
        r"\[Errno -?\d+\] ([^'\")\n]+)",
        r"^\([\w.]+\.\w+\) (.+)$",
        r"(timed? ?out)",
        r"^[A-Z_]+: (.+)$",
    )
    for pattern in patterns:
        if match := re.search(pattern, text, re.MULTILINE):
            return masked(match[1].strip().rstrip("."))[:300]
    first = next((line for line in text.splitlines() if line.strip()), "no reason given")
    return masked(first.strip().rstrip("."))[:300]
