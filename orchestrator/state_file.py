"""Files in which orch remembers things, checked when they are read back.

Another version may have written them, a full disk may have cut them, somebody may have put a
folder in their place. Such a file is named and skipped; the others count.
"""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

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


def _json(text: str) -> Any:
    if not text.strip():
        raise ValueError("it is empty")
    return json.loads(text)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError | RecursionError):
        return "it is not a complete JSON document"
    return str(error)
