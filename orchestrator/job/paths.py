"""Places in a job file: ~ and ${NAME} are expanded; relative paths start at the file."""

import os
import re
from pathlib import Path

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(:-(?P<default>[^}]*))?\}")

SCHEME = "s3://"
_ANY_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")

LONGEST_NAME = 255
"""How many bytes a part of a path may have, as Linux and its file systems will have it."""
LONGEST_PATH = 4095
LONGEST_KEY = 1024
"""How many bytes a whole path may have, and a key of S3."""
ROOM_OF_RUN = 324
"""How many of them the files of runs need at most below `output`."""


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
        whole = str(Path(path).expanduser())
    except RuntimeError:
        return text, f"the home folder of {path.split('/')[0]} is not known; give a full path."
    return whole, _too_long(whole)


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


def absolute(text: str, folder: Path, room: int = 0) -> tuple[str, str]:
    """Return the absolute path, relative ones taken from `folder`, and a problem, if any.

    room: how many bytes longer the paths of files below it are.
    """
    path, problem = filled(text)
    if problem:
        return text, problem
    whole = os.path.abspath(folder / path)  # noqa: PTH100 - keeps links
    return whole, _too_long(whole, room)


def _too_long(path: str, room: int = 0) -> str:
    """Return a problem if a file system would refuse a path, or those of files below it."""
    longest = max((os.fsencode(part) for part in path.split("/")), key=len)
    if len(longest) > LONGEST_NAME:
        return (
            f"expected a path whose parts are of at most {LONGEST_NAME} bytes, and "
            f"{os.fsdecode(longest[:20])}... has {len(longest)}."
        )
    if (size := len(os.fsencode(path))) > (most := LONGEST_PATH - room):
        return f"expected a path of at most {most} bytes, got {size}: {path[:20]}..."
    return ""


def place(text: str, folder: Path, room: int = 0) -> tuple[str, str]:
    """Return an absolute path or a URI s3://BUCKET/PREFIX, and a problem, if any.

    Variables are filled in; relative paths are taken from `folder`. room: as in `absolute`.
    """
    if not _ANY_SCHEME.match(text):
        return absolute(text, folder, room)
    uri, problem = _with_variables(text)
    if problem:
        return text, problem
    bucket, *parts = uri.removeprefix(SCHEME).split("/")
    if not uri.startswith(SCHEME) or not _BUCKET.fullmatch(bucket):
        return text, f"expected a path, or s3://BUCKET/PREFIX, got {text!r}."
    key = "/".join(filter(None, parts))
    if (size := len(key.encode())) > (most := LONGEST_KEY - room):
        return text, f"expected a key of at most {most} bytes, got {size}: {key[:20]}..."
    return SCHEME + "/".join(filter(None, (bucket, key))), ""


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
