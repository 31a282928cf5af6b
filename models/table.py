"""Look up a component by its name in a table of "module:attribute" strings."""

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

_PLACE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def is_place(name: object) -> bool:
    """Return whether a name says itself where a component is: "module:attribute"."""
    return isinstance(name, str) and _PLACE.fullmatch(name) is not None


def resolve(table: Mapping[str, str], name: str) -> Any:
    """Import and return what `table` calls `name`, or what is at the place that `name` is itself.

    Raises ValueError, listing the known names, if there is no such name, and whatever the import
    of a place raises.
    """
    if name not in table and not is_place(name):
        raise ValueError(f"nothing is called {name!r}; known are {', '.join(table)}")
    module, attribute = table.get(name, name).split(":")
    return getattr(import_module(module), attribute)
