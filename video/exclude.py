"""Samples that a job leaves out by name: a file with one name in each line (data.exclude)."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from video.anywhere import Place, place_of

T = TypeVar("T")


@dataclass(frozen=True)
class Exclusion:
    """What a list left out of a set. names: of the list; found: those of them that are in it."""

    names: frozenset[str] = frozenset()
    found: frozenset[str] = frozenset()
    remarks: tuple[str, ...] = ()


def listed_name(source: str, root: str | None) -> str:
    """Return the name of a sample in lists: its path below the data set's folder, if it has one."""
    return source if root is None else source.removeprefix(f"{root.rstrip('/')}/")


def exclusion_file(settings: Any) -> Place | None:
    """Return the file that the settings of a data set name, if they do."""
    given = getattr(settings, "exclude", None)
    return place_of(settings.root) / given if given else None


def without_excluded(
    samples: Iterable[T],
    source: Callable[[T], str],
    settings: Any,
    endings: Collection[str] = (),
) -> tuple[list[T], Exclusion]:
    """Return the samples that remain, and what was left out.

    source: gives the file of a sample, or what it is called in messages. endings: of names, that do
    not count: a video may be listed as another file, or as any file, of that name.
    Raises ValueError when the list cannot be read.
    """
    file = exclusion_file(settings)
    if file is None:
        return list(samples), Exclusion()
    names = read_names(file)
    listed: dict[str, set[str]] = {}
    for name in names:
        listed.setdefault(_bare(name, endings), set()).add(name)
    root = str(place_of(settings.root))
    kept: list[T] = []
    found: set[str] = set()
    left_out = 0
    for sample in samples:
        called = source(sample)
        by = [listed.get(_bare(one, endings)) for one in (called, listed_name(called, root))]
        if any(by):
            found.update(*filter(None, by))
            left_out += 1
        else:
            kept.append(sample)
    remark = f"{file} leaves out {left_out} of {left_out + len(kept)} samples."
    return kept, Exclusion(names, frozenset(found), (remark,) if left_out else ())


def _bare(name: str, endings: Collection[str]) -> str:
    """Return a name without its ending, if that is one of some."""
    stem, dot, ending = name.rpartition(".")
    return stem if dot and f".{ending}".lower() in endings else name


def read_names(file: Place) -> frozenset[str]:
    """Return the names in a file, one in each line. Raises ValueError when it cannot be read."""
    try:
        text = file.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror})") from error
    return frozenset(line.rstrip("\r") for line in text.split("\n")) - {""}
