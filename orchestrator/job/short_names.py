"""Short names of dotted keys, for people."""

from collections.abc import Iterable, Iterator, Sequence


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """Return for each dotted key its shortest end that no other one has: lambda, clip.lr."""
    known = list(keys)
    return {key: next((end for end in _ends(key) if _is_of_one(end, known)), key) for key in known}


def _ends(key: str) -> Iterator[str]:
    """Yield the ends of a dotted key, from the shortest to the key itself."""
    parts = key.split(".")
    return (".".join(parts[start:]) for start in range(len(parts) - 1, -1, -1))


def _is_of_one(end: str, keys: Sequence[str]) -> bool:
    return sum(f".{key}".endswith(f".{end}") for key in keys) == 1
