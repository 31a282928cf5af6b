"""Where the images in a tar file are, found out once: their bytes are then read by themselves.

A tar may hold others, as the official one of ImageNet's training set does: one for each class. An
index is kept in the node's cache folder by the identity of its tar.
"""

import contextlib
import hashlib
import io
import os
import re
import secrets
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from video.anywhere import Place, at_hand, identity
from video.library import cache_folder

ENDINGS = frozenset({".jpeg", ".jpg", ".png"})
_SYNSET = re.compile(r"n\d{8}(?=_)")
_BLOCK = 512
_VERSION = "1"


@dataclass(frozen=True)
class TarIndex:
    """The images of a tar, in its order.

    names: with their folders. offsets, sizes: of their bytes in the tar. classes: a name, or a
    number from a file KEY.cls; empty where neither is known.
    """

    names: list[str]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    classes: list[str]


def index_of(tar: Place) -> TarIndex:
    """Return the index of a tar, which is read whole if it is not known yet.

    Raises ValueError for what is no whole tar, and OSError.
    """
    key = hashlib.sha256(f"{_VERSION} {identity(tar)}".encode("utf-8", "surrogateescape"))
    kept = cache_folder() / "tars" / f"{key.hexdigest()[:32]}.npz"
    with contextlib.suppress(OSError, ValueError, KeyError), np.load(kept) as arrays:
        return _unpacked(arrays)
    with at_hand(tar) as path:
        rows = _rows(path, str(tar))
    found = TarIndex(
        [row.name for row in rows],
        np.array([row.offset for row in rows], np.int64),
        np.array([row.size for row in rows], np.int64),
        [row.class_name for row in rows],
    )
    _keep(kept, found)
    return found


class Member(NamedTuple):
    """A file in a tar. key: its name up to the first dot. class_name: as in TarIndex."""

    name: str
    offset: int
    size: int
    class_name: str = ""

    @property
    def key(self) -> str:
        """What the files of one sample have in common."""
        folder, _, name = self.name.rpartition("/")
        return f"{folder}/{name.partition('.')[0]}"


def _rows(path: Path, called: str) -> list[Member]:
    try:
        with path.open("rb") as file:
            members = list(_members(file, 0, ""))
            return list(_with_classes(file, members))
    except tarfile.TarError as error:
        raise ValueError(f"{called} cannot be read as a tar file ({error})") from error
    except EOFError as error:
        raise ValueError(f"{called} is cut: what it lists goes beyond its end") from error


def _members(file: Any, start: int, folder: str) -> Iterator[Member]:
    """Yield the files of a tar, and of those in it, but for hidden ones.

    Raises EOFError unless a block of zeros follows them, as at the end of each tar.
    """
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for member in tar:
            name = str(PurePosixPath(folder, member.name))
            if not member.isreg() or PurePosixPath(name).name.startswith("."):
                continue
            if name.endswith(".tar") and (inner := tar.extractfile(member)):
                inside = PurePosixPath(name).with_suffix("")
                yield from _members(inner, start + member.offset_data, str(inside))
            else:
                yield Member(name, start + member.offset_data, member.size)
        file.seek(tar.offset)
        if file.read(_BLOCK) != bytes(_BLOCK):
            raise EOFError


def _with_classes(file: BinaryIO, members: list[Member]) -> Iterator[Member]:
    """Yield the images with their classes."""
    numbers = {}
    for member in members:
        if member.name.endswith(".cls"):
            file.seek(member.offset)
            numbers[member.key] = file.read(member.size).decode("ascii", "replace").strip()
    for member in members:
        path = PurePosixPath(member.name)
        if path.suffix.lower() in ENDINGS:
            synset = _SYNSET.match(path.name)
            by_name = synset[0] if synset else path.parent.name
            yield member._replace(class_name=numbers.get(member.key, by_name))


def _keep(kept: Path, found: TarIndex) -> None:
    """Keep an index, whole or not at all."""
    content = io.BytesIO()
    np.savez_compressed(
        content,
        names=_texts(found.names),
        offsets=found.offsets,
        sizes=found.sizes,
        classes=_texts(found.classes),
    )
    with contextlib.suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        new = kept.with_suffix(f".{os.getpid()}.{secrets.token_hex(4)}")
        new.write_bytes(content.getvalue())
        new.replace(kept)


def _texts(texts: list[str]) -> NDArray[np.bytes_]:
    encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
    return np.array(encoded, dtype=np.bytes_)


def _unpacked(arrays: Any) -> TarIndex:
    names, classes = (
        [cast(bytes, text).decode("utf-8", "surrogateescape") for text in arrays[name]]
        for name in ("names", "classes")
    )
    return TarIndex(names, arrays["offsets"], arrays["sizes"], classes)
