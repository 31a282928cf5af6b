"""Suggest a known word for an unknown one."""

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is most similar to the given one, or None when none is close."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'? Known: ..." for an error message about an unknown word."""
    names = sorted(known)
    match = nearest(word, names)
    meant = f" Did you mean '{match}'?" if match else ""
    return f"{meant} Known: {', '.join(names)}."
