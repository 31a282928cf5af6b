"""Code of the user's own: a folder of modules and packages that a job names and takes along.

A job's `code` is that folder; its components are named by their places in it, `module:Class`.
"""

import sys
from pathlib import Path
from typing import Any

from models.table import resolve
from orchestrator.job.merge import Merged
from orchestrator.job.paths import absolute

KEY = "code"


def make_importable(folder: object) -> None:
    """Let this process import from a job's folder of code, where it is seen.

    In a job's processes the copy that came with it is first: it lies beside our own packages.
    """
    if isinstance(folder, str) and Path(folder).is_dir() and folder not in sys.path:
        sys.path.append(folder)


def use(merged: Merged) -> None:
    """Let this process import from the folder that a job's values name, if they do."""
    given = merged.values.get(KEY)
    if isinstance(given, str):
        source = merged.source_of((KEY,))
        make_importable(absolute(given, source.folder if source else Path.cwd())[0])


def problem_of(place: str, what: str, base: str) -> str:
    """Return why what is at a place cannot be a component; nothing if it can.

    what: the word for one. base: the class it has to inherit from, "module:Class"; empty where
    only our own ones are possible.
    """
    if not base:
        return "one of your own is not possible here."
    try:
        found = resolve({}, place)
    except Exception as error:  # whatever the user's module raises
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return (
            f"{place!r} cannot be imported ({reason}). Its module has to be in the folder that the "
            f"job's `{KEY}` names."
        )
    if isinstance(found, type) and issubclass(found, _base(base)) and hasattr(found, "Settings"):
        return ""
    parent = base.replace(":", ".")
    return f"{place!r} is no {what}: expected a class that inherits {parent} and has `Settings`."


def _base(place: str) -> Any:
    return resolve({}, place)
