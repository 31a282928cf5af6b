"""Files in which orch remembers things, checked when they are read back.

Another version may have written them, a full disk may have cut them, somebody may have put a
folder in their place. Such a file is named and skipped; the others count.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

Kept = TypeVar("Kept")

_LOG = logging.getLogger(__name__)


def read(path: Path, make: Callable[[Any], Kept]) -> Kept | None:
    """Return what `make` makes of a state file's JSON; None when there is no such file.

    Also None, after a warning that names the file, when it cannot be read or `make` raises
    ValueError.
    """
    try:
        return make(_json(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        _LOG.warning("%s is skipped: %s. Remove it, or move it away.", path, _reason(error))
        return None


def made_of(kind: type[Kept], values: Any) -> Kept:
    """Return a dataclass made from a JSON object, ignoring keys that only a newer version has.

    Raises ValueError for a value that is missing or of another type.
    """
    if not isinstance(values, Mapping):
        raise ValueError("it does not hold a JSON object")
    hints = get_type_hints(kind)
    given: dict[str, Any] = {}
    for field in fields(kind):  # type: ignore[arg-type]
        if field.name in values:
            if not _fits(values[field.name], hints[field.name]):
                raise ValueError(f"its {field.name!r} is {str(values[field.name])[:40]!r}")
            given[field.name] = values[field.name]
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"it has no {field.name!r}; another version may have written it")
    return kind(**given)


def _json(text: str) -> Any:
    if not text.strip():
        raise ValueError("it is empty")
    return json.loads(text)


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a value has a field's declared type, at its top level."""
    hints = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    kinds = tuple(get_origin(each) or each for each in hints)
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, (*kinds, int) if float in kinds else kinds)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError | RecursionError):
        return "it is not a complete JSON document"
    return str(error)
