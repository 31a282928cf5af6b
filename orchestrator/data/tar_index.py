"""Where the images in a tar file are, found out once: their bytes are then read by themselves.

A tar may hold others, as the official one of ImageNet's training set does: one for each class. An
index is kept in the node's cache folder by the identity of its tar.
"""

import contextlib
import hashlib
import io
import os
import posixpath
import secrets
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from video.anywhere import Place, at_hand, identity
from video.library import cache_folder
from video.unread import IMAGES

ENDINGS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp"})
"""Of image files; what is in them decides how they are decoded."""
_BLOCK, _DIGEST = 512, 32
_VERSION = "4"
_LINKS = 40
"""How many links may follow one another, as many as Linux follows."""


@dataclass(frozen=True)
class TarIndex:
    """The images of a tar, in its order.

    names: with their folders. offsets, sizes: of their bytes in the tar. classes: what a file
    KEY.cls says; empty where none does. numbered: whether there are such files. lost: names of
    links that lead to no file in the tar. unread: of images in formats that are not read.
    followed: whether the end of the tar is not that of the file.
    """

    names: list[str]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    classes: list[str]
    numbered: bool
    lost: list[str]
    unread: list[str]
    followed: bool


def index_of(tar: Place) -> TarIndex:
    """Return the index of a tar, which is read whole if it is not known yet.

    Raises ValueError for what is no whole tar, and OSError.
    """
    key = hashlib.sha256(f"{_VERSION} {identity(tar)}".encode("utf-8", "surrogateescape"))
    kept = cache_folder() / "tars" / f"{key.hexdigest()[:32]}.index"
    if known := _kept(kept):
        return known
    with at_hand(tar) as path:
        found = _read(path, str(tar))
    _keep(kept, found)
    return found


class Member(NamedTuple):
    """A file in a tar. target: of a link, the name of the file that it leads to."""

    name: str
    offset: int = 0
    size: int = 0
    target: str = ""

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return str(PurePosixPath(self.name).with_suffix(""))

    @property
    def key(self) -> str:
        """The name up to the first dot, which the files of one sample have in common."""
        folder, slash, name = self.name.rpartition("/")
        return f"{folder}{slash}{name.partition('.')[0]}"


def _read(path: Path, called: str) -> TarIndex:
    try:
        with path.open("rb") as file:
            members = list(_followed(_members(file, 0, "")))
            followed = _goes_on(file)
            numbers = {
                member.stem: class_text(_content(file, member))
                for member in members
                if _ending(member) == ".cls"
            }
    except tarfile.TarError as error:
        raise ValueError(f"{called} cannot be read as a tar file ({error})") from error
    except EOFError as error:
        raise ValueError(f"{called} is cut: what it lists goes beyond its end") from error
    rows = list(_with_classes([one for one in members if _ending(one) in ENDINGS], numbers))
    known = {member.key for member, _ in rows}
    others = (member for member in members if _ending(member) in IMAGES)
    return TarIndex(
        [member.name for member, _ in rows],
        np.array([member.offset for member, _ in rows], np.int64),
        np.array([member.size for member, _ in rows], np.int64),
        [name for _, name in rows],
        bool(numbers),
        [member.name for member in members if not member.offset],
        [member.name for member in others if member.key not in known],
        followed,
    )


def _members(file: Any, start: int, folder: str) -> Iterator[Member]:
    """Yield the files and links of a tar, and of those in it, but for what is hidden.

    Raises EOFError unless a block of zeros follows them, as at the end of each tar.
    """
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for member in tar:
            name = str(PurePosixPath(folder, member.name))
            if _hidden(name):
                continue
            if member.islnk() or member.issym():
                beside = "" if member.islnk() else posixpath.dirname(member.name)
                target = posixpath.join(folder, beside, member.linkname)
                yield Member(name, target=posixpath.normpath(target))
            elif member.isreg() and name.endswith(".tar") and (inner := tar.extractfile(member)):
                inside = PurePosixPath(name).with_suffix("")
                yield from _members(inner, start + member.offset_data, str(inside))
            elif member.isreg():
                yield Member(name, start + member.offset_data, member.size)
        file.seek(tar.offset)
        if file.read(_BLOCK) != bytes(_BLOCK):
            raise EOFError


def _goes_on(file: BinaryIO) -> bool:
    """Whether there is anything but zeros in the rest of a file."""
    while part := file.read(1 << 20):
        if part.count(0) < len(part):
            return True
    return False


def _hidden(name: str) -> bool:
    return any(part.startswith(".") and part != ".." for part in PurePosixPath(name).parts)


def _followed(members: Iterator[Member]) -> Iterator[Member]:
    """Yield the files, and links as the files they lead to, or those in the folder they lead to.

    One that leads to none is empty, at an offset of 0.
    """
    entries = list(members)
    known = {posixpath.normpath(entry.name): entry for entry in entries}
    folders = {posixpath.dirname(name) for name in known}
    for entry in entries:
        end, steps = entry, 0
        while end.target and steps < _LINKS:
            end, steps = known.get(end.target, Member(end.target)), steps + 1
        if not end.offset and end.name in folders:
            inside = ((name, one) for name, one in known.items() if not one.target)
            for name, one in inside:
                if name.startswith(f"{end.name}/"):
                    yield Member(f"{entry.name}{name[len(end.name) :]}", one.offset, one.size)
        else:
            yield Member(entry.name, end.offset, end.size)


def _ending(member: Member) -> str:
    return PurePosixPath(member.name).suffix.lower()


def class_text(content: bytes) -> str:
    """Return what a file KEY.cls says: all but the end of its line may belong to a name."""
    return content.decode("utf-8", "surrogateescape").strip("\r\n")


def _content(file: BinaryIO, member: Member) -> bytes:
    file.seek(member.offset)
    return file.read(member.size)


def _with_classes(
    images: Sequence[Member], numbers: Mapping[str, str]
) -> Iterator[tuple[Member, str]]:
    """Yield the images, each with what the file KEY.cls says that is its own.

    That has the name of the image but for the ending; or it has its key, and there is no other
    image of this key. What is beside the image of a sample, as a mask is, is left out.
    """
    keys = Counter(image.key for image in images)
    whole = {image.key for image in images if image.stem == image.key}
    for image in images:
        if image.stem in numbers:
            yield image, numbers[image.stem]
        elif image.key not in numbers:
            yield image, ""
        elif image.key not in whole:
            yield image, numbers[image.key] if keys[image.key] == 1 else ""


def _keep(kept: Path, found: TarIndex) -> None:
    """Keep an index behind its digest, whole or not at all."""
    content = io.BytesIO()
    np.savez_compressed(
        content,
        names=_texts(found.names),
        offsets=found.offsets,
        sizes=found.sizes,
        classes=_texts(found.classes),
        numbered=np.array(found.numbered),
        lost=_texts(found.lost),
        unread=_texts(found.unread),
        followed=np.array(found.followed),
    )
    with contextlib.suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        new = kept.with_suffix(f".{os.getpid()}.{secrets.token_hex(4)}")
        new.write_bytes(hashlib.sha256(content.getvalue()).digest() + content.getvalue())
        new.replace(kept)


def _kept(kept: Path) -> TarIndex | None:
    """Return an index that was kept; None without one, and for one that is damaged."""
    try:
        stored = kept.read_bytes()
    except OSError:
        return None
    digest, content = stored[:_DIGEST], stored[_DIGEST:]
    if hashlib.sha256(content).digest() != digest:
        return None
    with np.load(io.BytesIO(content)) as arrays:
        names, classes, lost, unread = (
            [cast(bytes, text).decode("utf-8", "surrogateescape") for text in arrays[name]]
            for name in ("names", "classes", "lost", "unread")
        )
        numbered, followed = bool(arrays["numbered"]), bool(arrays["followed"])
        places = arrays["offsets"], arrays["sizes"]
        return TarIndex(names, *places, classes, numbered, lost, unread, followed)


def _texts(texts: list[str]) -> NDArray[np.bytes_]:
    encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
    return np.array(encoded, dtype=np.bytes_)
