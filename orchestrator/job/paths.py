"""Paths in a job file: ~ and ${NAME} are expanded; relative paths start at the file."""

import os
import re
from pathlib import Path

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(:-(?P<default>[^}]*))?\}")


def filled(text: str) -> tuple[str, str]:
    """Return the path with ~ and ${NAME} or ${NAME:-default} expanded, and a problem, if any."""
    missing: list[str] = []

    def fill(match: re.Match[str]) -> str:
        name, default = match["name"], match["default"]
        if name not in os.environ and default is None:
            missing.append(name)
        return os.environ.get(name, default or "")

    path = _VARIABLE.sub(fill, text)
    if missing:
        return text, f"the environment variable {missing[0]} is not set; set it, or give a path."
    if not path.strip():
        return text, f"expected a path, got {text!r}."
    try:
        return str(Path(path).expanduser()), ""
    except RuntimeError:
        return text, f"the home folder of {path.split('/')[0]} is not known; give a full path."


def absolute(text: str, folder: Path) -> tuple[str, str]:
    """Return the absolute path, relative ones taken from `folder`, and a problem, if any."""
    path, problem = filled(text)
    if problem:
        return text, problem
    return os.path.abspath(folder / path), ""  # noqa: PTH100 - keeps links
