"""Where the official files of a data set lie: in their folder, or still in their archive."""

import hashlib
import shutil
import tarfile
import tempfile
from collections.abc import Collection
from pathlib import Path

from orchestrator.errors import DataError, OrchError
from video.anywhere import Place, at_hand, identity
from video.library import cache_folder


def official_folder(
    root: Place, folder: str, archive: str, md5: str, names: Collection[str]
) -> Place:
    """Return the folder that holds files of a data set.

    It is root itself, or `folder` below it, or is unpacked from `archive` (below root, or root
    itself) into the node's cache, once. A folder that lacks some of the files is used only without
    an archive. Raises DataError for another archive than the official one, or when it cannot be
    unpacked. If nothing is there, it is `folder` below root.
    """
    places = (root / folder, root)
    found = [[(place / name).is_file() for name in names] for place in places]
    for place, there in zip(places, found, strict=True):
        if all(there):
            return place
    for packed in (root, root / archive):
        if packed.is_file():
            return _unpacked(packed, folder, md5, names)
    some = [place for place, there in zip(places, found, strict=True) if any(there)]
    return some[0] if some else root / folder


def _unpacked(archive: Place, folder: str, md5: str, names: Collection[str]) -> Path:
    """Return the folder of an archive's files, which are all there, and whole."""
    key = f"{identity(archive)} {md5}"
    caches = cache_folder() / "unpacked"
    target = caches / f"{folder}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    if all((target / name).is_file() for name in names):  # a cleaner may have taken some
        return target
    try:
        with at_hand(archive) as path:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "md5").hexdigest()
            if found != md5:
                raise DataError(
                    f"{archive} is not the official archive, or is damaged: its MD5 is {found}, "
                    f"expected {md5}. Download it again."
                )
            _extract(path, target, names)
    except OrchError:
        raise
    except (OSError, tarfile.TarError) as error:
        raise DataError(
            f"{archive} cannot be unpacked into {caches} ({error}). Unpack it yourself and name "
            "its folder as data.root, or let ORCH_CACHE name a folder with room."
        ) from error
    return target


def _extract(archive: Path, target: Path, names: Collection[str]) -> None:
    """Unpack some files of an archive, each in one step, whoever else does the same."""
    target.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as scratch,
        tarfile.open(archive) as packed,
    ):
        for member in packed:
            name = Path(member.name).name
            if name in names and (content := packed.extractfile(member)):
                unpacked = Path(scratch) / name
                with unpacked.open("wb") as file:
                    shutil.copyfileobj(content, file)
                unpacked.replace(target / name)
