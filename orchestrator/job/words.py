"""Suggest a known word for an unknown one."""

import difflib
from collections.abc import Iterable

MOST = 30
"""Known words that are all shown."""

FEW = 8
"""Those shown of more."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is most similar to the given one, or None when none is close."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


def suggestion(word: str, known: Iterable[str], *, where: str = "") -> str:
    """Return " Did you mean 'x'? Known: ..." for an error message about an unknown word.

    where: says where a list too long for a message is found: the most similar words are shown.
    """
    names = sorted(known)
    match = nearest(word, names)
    meant = f" Did you mean '{match}'?" if match else ""
    if len(names) <= MOST:
        return f"{meant} Known: {', '.join(names)}."
    shown = difflib.get_close_matches(word, names, n=FEW, cutoff=0)
    more = f" and {len(names) - len(shown)} more"
    return f"{meant} Known: {', '.join(shown)}{more}{f' ({where})' if where else ''}."
