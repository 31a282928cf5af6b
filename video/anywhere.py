"""The folders and files of a data set, on a disk of this machine or elsewhere.

A data set needs of them what `Place` lists, a part of what `Path` has. Whoever opens a data set
whose files are elsewhere hands in a place of another kind; here nothing is known of any.
"""

import contextlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, runtime_checkable


class Place(Protocol):
    """A folder or a file. All but `name`, `suffix` and `stem` may raise OSError."""

    @property
    def name(self) -> str: ...

    @property
    def suffix(self) -> str: ...

    @property
    def stem(self) -> str: ...

    def __truediv__(self, name: str, /) -> "Place": ...

    def iterdir(self) -> Iterable["Place"]:
        """Return what is in a folder."""

    def is_dir(self) -> bool: ...

    def is_file(self) -> bool: ...

    def read_bytes(self) -> bytes: ...


@runtime_checkable
class Elsewhere(Protocol):
    """A place that is not on a disk of this machine."""

    def here(self) -> AbstractContextManager[Path]:
        """Return a context in which a copy of a file is on this machine.

        Its path is the same whenever the content is. Raises FileNotFoundError where there is no
        such file.
        """


def place_of(given: "str | Path | Place") -> Place:
    """Return the place that a setting names, or that was handed in instead."""
    return Path(given) if isinstance(given, str) else given


@contextlib.contextmanager
def at_hand(place: Place) -> Iterator[Path]:
    """Give a file, or a copy of it, as a path of this machine."""
    if isinstance(place, Elsewhere):
        with place.here() as path:
            yield path
    else:
        yield Path(str(place))
