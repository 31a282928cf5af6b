"""Tracking URIs as people write them, made independent of the current folder."""

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

from orchestrator.errors import UsageError
from orchestrator.job.paths import absolute, in_bucket
from orchestrator.job.uri import masked, secret_problem, sqlite_uri

_SQLITE = re.compile(r"(?P<scheme>sqlite(\+\w+)?)://(/(?P<file>[^?]*))?(?P<query>\?.*)?", re.DOTALL)
_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):")
_PLAIN_WORDS = ("databricks", "databricks-uc", "uc")
"""What MLflow takes for an address although it looks like the name of a folder."""


def resolve(uri: str, absolute: Callable[[str], tuple[str, str]]) -> tuple[str, str]:
    """Return a tracking URI without relative paths, and a problem ("" when there is none).

    absolute: makes a path absolute; returns it and a problem, or "".
    """
    if match := _SQLITE.fullmatch(uri):
        if match["file"] in (None, "", ":memory:"):
            return (
                uri,
                "names no file, so the record would be lost when the job ends; " + _instead(""),
            )
        path, problem = absolute(unquote(match["file"]))
        return sqlite_uri(Path(path), match["scheme"]) + (match["query"] or ""), problem
    scheme = _SCHEME.match(uri)
    if scheme is None and uri not in _PLAIN_WORDS:
        return uri, f"is a folder, and MLflow no longer keeps records in folders; {_instead(uri)}"
    if scheme and scheme["scheme"] == "file":
        folder = re.sub(r"^file:(//)?", "", uri)
        return (
            uri,
            f"is a folder, and MLflow no longer keeps records in folders; {_instead(folder)}",
        )
    if scheme and scheme["scheme"].startswith("sqlite"):
        return uri, "is not a form that orch knows; " + _instead("")
    return uri, ""


def checked(uri: str) -> str:
    """Return the value of MLFLOW_TRACKING_URI, made independent of the current folder.

    Raises UsageError when it contains a secret, which records and pages would show, or when it
    names no place where records can be kept.
    """
    if problem := secret_problem(uri):
        raise UsageError(f"MLFLOW_TRACKING_URI {problem} Records and Ray's pages show it.")
    found, problem = resolve(uri, lambda path: absolute(path, Path.cwd()))
    if problem:
        raise UsageError(f"MLFLOW_TRACKING_URI ({masked(uri)}) {problem}")
    return found


def file_in(output: str) -> str:
    """Return the URI of the sqlite file in a job's output. Raises UsageError for a bucket."""
    if in_bucket(output):
        raise UsageError(
            f"tracking.uri: MLflow keeps no records in a bucket, and output is {output}. Name a "
            "server (--set tracking.uri=http://HOST:5000), or a file that the job can write "
            "(--set tracking.uri=sqlite:////FOLDER/mlflow.db)."
        )
    return sqlite_uri(Path(output) / "mlflow.db")


def sqlite_file(uri: str) -> Path | None:
    """Return the file that a resolved URI names; None for a server."""
    match = _SQLITE.fullmatch(uri)
    return Path(unquote(match["file"])) if match and match["file"] else None


def _instead(folder: str) -> str:
    return f"name a file, such as sqlite:///{Path(folder, 'mlflow.db')}, or a server, http://HOST:5000."
