"""Look up a component by its name in a table of "module:attribute" strings."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any


def resolve(table: Mapping[str, str], name: str) -> Any:
    """Import and return what `table` calls `name`.

    Raises ValueError, listing the known names, if there is no such name.
    """
    if name not in table:
        raise ValueError(f"nothing is called {name!r}; known are {', '.join(table)}")
    module, attribute = table[name].split(":")
    return getattr(import_module(module), attribute)
