"""Places in a job file: ~ and ${NAME} are expanded; relative paths start at the file."""

import os
import re
from pathlib import Path

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(:-(?P<default>[^}]*))?\}")

SCHEME = "s3://"
_ANY_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")


def filled(text: str) -> tuple[str, str]:
    """Return the path with ~ and ${NAME} or ${NAME:-default} expanded, and a problem, if any."""
    path, problem = _with_variables(text)
    if problem:
        return text, problem
    if not path.strip():
        return text, f"expected a path, got {text!r}."
    if _ANY_SCHEME.match(path):
        return text, f"expected a path of a disk, got {text!r}."
    try:
        return str(Path(path).expanduser()), ""
    except RuntimeError:
        return text, f"the home folder of {path.split('/')[0]} is not known; give a full path."


def _with_variables(text: str) -> tuple[str, str]:
    """Return a text with ${NAME} or ${NAME:-default} filled in, and a problem, if any."""
    missing: list[str] = []

    def fill(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if name not in os.environ and default is None:
            missing.append(name)
        return os.environ.get(name, default or "")

    whole = _VARIABLE.sub(fill, text)
    if missing:
        return text, f"the environment variable {missing[0]} is not set; set it, or give a path."
    return whole, ""


def absolute(text: str, folder: Path) -> tuple[str, str]:
    """Return the absolute path, relative ones taken from `folder`, and a problem, if any."""
    path, problem = filled(text)
    if problem:
        return text, problem
    return os.path.abspath(folder / path), ""  # noqa: PTH100 - keeps links


def place(text: str, folder: Path) -> tuple[str, str]:
    """Return an absolute path or a URI s3://BUCKET/PREFIX, and a problem, if any.

    Variables are filled in; relative paths are taken from `folder`.
    """
    if not _ANY_SCHEME.match(text):
        return absolute(text, folder)
    uri, problem = _with_variables(text)
    if problem:
        return text, problem
    bucket, *parts = uri.removeprefix(SCHEME).split("/")
    if not uri.startswith(SCHEME) or not _BUCKET.fullmatch(bucket):
        return text, f"expected a path, or s3://BUCKET/PREFIX, got {text!r}."
    return SCHEME + "/".join([bucket, *filter(None, parts)]), ""


def file_or_object(text: str) -> tuple[str, str]:
    """Return a path as `filled` does, or a URI s3://BUCKET/KEY, and a problem, if any."""
    if not _ANY_SCHEME.match(text):
        return filled(text)
    uri, problem = place(text, Path())
    if problem or not uri.removeprefix(SCHEME).partition("/")[2]:
        return text, problem or f"expected a file, or s3://BUCKET/KEY, got {text!r}."
    return uri, ""


def in_bucket(place: str) -> bool:
    """Return whether a place is in a bucket of S3; else it is a path."""
    return place.startswith(SCHEME)
