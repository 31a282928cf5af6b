"""Which files in a folder of copies `orch data prepare` has made, and may replace or remove.

Nothing else is ever replaced: before the first copy is made, the names of all are compared with
what is there, and then written down, so that those of a killed command are known too.
"""

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from orchestrator.curate import manifest
from orchestrator.curate.manifest import BEGUN, Copy
from orchestrator.data import Dataset
from orchestrator.errors import UsageError
from orchestrator.files import write_whole
from orchestrator.job.paths import in_bucket


def is_below(name: str) -> bool:
    """Return whether a name leads to a file below the folder that it is relative to."""
    return not (in_bucket(name) or Path(name).is_absolute() or ".." in Path(name).parts)


def others(folder: Path, copies: Mapping[str, Copy], names: Iterable[str]) -> list[str]:
    """Return the names of copies that are there and are none of those that are going to be made.

    Raises UsageError when a file of another origin has the name of one of these.
    """
    known = {copy.name for copy in copies.values() if is_below(copy.name)}.union(_begun(folder))
    if foreign := sorted(name for name in set(names) - known if (folder / name).exists()):
        more = f" and {len(foreign) - 1} more are there" if foreign[1:] else " is there"
        raise UsageError(
            f"{folder / foreign[0]}{more}, not made by `orch data prepare`, which replaces only "
            "what it has made: name another folder."
        )
    return sorted(known.difference(names))


def begin(folder: Path, names: Iterable[str]) -> None:
    """Write down the names of the copies that are going to be made."""
    write_whole(folder / BEGUN, json.dumps(sorted({*names, *_begun(folder)})))


def _begun(folder: Path) -> list[str]:
    """Return the names of the copies that are there, of those that a killed command would make."""
    try:
        found = json.loads((folder / BEGUN).read_text())
    except (FileNotFoundError, ValueError):
        return []
    return [name for name in found if is_below(name) and (folder / name).exists()]


def end(folder: Path) -> None:
    """Forget which copies were going to be made: the manifest has them."""
    (folder / BEGUN).unlink(missing_ok=True)


def remove(folder: Path, copies: dict[str, Copy], names: Sequence[str], kept: set[str]) -> None:
    """Remove copies, and folders that they leave empty but for those of copies that are kept."""
    gone = frozenset(names)
    needed = {(folder / name).parent for name in kept}
    for name in names:
        (folder / name).unlink(missing_ok=True)
        if (parent := (folder / name).parent) not in needed and parent != folder:
            with contextlib.suppress(OSError):  # it holds something else
                parent.rmdir()
    for source in [source for source, copy in copies.items() if copy.name in gone]:
        del copies[source]
    manifest.write_manifest(folder, copies)


def check_places(folder: Path, names: Iterable[str], datasets: Sequence[Dataset]) -> None:
    """Raise UsageError where a copy would be elsewhere than in its folder, or beside an original.

    So it can be through links, or where a folder has two names.
    """
    root = folder.resolve()
    originals = {place.resolve() for place in _folders_of(datasets)}
    places = {parent: parent.resolve() for parent in {(folder / name).parent for name in names}}
    for parent, place in sorted(places.items()):
        if not place.is_relative_to(root):
            raise UsageError(f"{parent} leads to {place}, out of {folder}; name another folder.")
        if place in originals:
            raise UsageError(f"{parent} is a folder of the originals; name another folder.")
    for name in names:
        if places[(folder / name).parent] / Path(name).name in originals:
            raise UsageError(f"{folder / name} holds originals; name another folder.")


def _folders_of(datasets: Sequence[Dataset]) -> set[Path]:
    """Return what the samples with a file are in: folders, or tar files."""
    sources = (one.source(index) for one in datasets for index in range(len(one)))
    return {
        Path(parent) for parent in {source.rpartition("/")[0] for source in sources}
        if parent.startswith("/")
    }  # fmt: skip
