"""Look a component up by name in a table of "module:attribute" strings."""

import difflib
import importlib
from collections.abc import Iterable, Mapping
from typing import Any


def find(table: Mapping[str, str], name: str) -> Any:
    """Import what the table keeps under `name`. Raises KeyError for an unknown name."""
    module, _, attribute = table[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word most like the given one, or None when nothing comes near."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'? Known: ..." for an error message about an unknown word."""
    names = sorted(known)
    match = nearest(word, names)
    meant = f" Did you mean '{match}'?" if match else ""
    return f"{meant} Known: {', '.join(names)}."
