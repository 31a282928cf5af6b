"""Folders whose names are classes: which there are, and what is in them."""

from collections.abc import Iterable, Iterator, Sequence

from video.anywhere import Place


def class_folders(folder: Place) -> list[str]:
    """Return the sorted names of the folders in a folder; none when it does not exist."""
    if not folder.is_dir():
        return []
    return sorted(entry.name for entry in seen(folder) if entry.is_dir())


def seen(folder: Place) -> Iterator[Place]:
    """Yield what is in a folder, but for hidden entries: notebooks and file managers leave them."""
    return (entry for entry in folder.iterdir() if not entry.name.startswith("."))


def without_files(folder: Place, endings: Iterable[str]) -> list[str]:
    """Return the class folders of a folder that have no file of these endings right in them."""
    known = frozenset(endings)
    return [
        name
        for name in class_folders(folder)
        if not any(entry.suffix.lower() in known for entry in seen(folder / name))
    ]


def named(classes: Sequence[str]) -> str:
    """Return a class, or the number of classes and the first ones."""
    first = ", ".join(classes[:5])
    return first if len(classes) < 6 else f"{len(classes)} classes, such as {first}"
