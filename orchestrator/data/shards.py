"""Labeled images in tar files: shards in webdataset's layout, or the official files of ImageNet."""

import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from orchestrator.data.devkit import NAME, validation_classes
from orchestrator.data.tar_index import TarIndex, index_of
from video.anywhere import Place, identity, read_part
from video.class_folders import seen

AT_ONCE = 8
"""How many tars are looked into at the same time."""
_SUBSET = {True: re.compile(r"(?<![a-z])train"), False: re.compile(r"(?<![a-z])val")}
_FOLDERS = {True: "train", False: "val"}
_OFFICIAL = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG")

Sample = tuple[int, int]
"""The number of a tar, and that of an image in it."""


def tars_of(root: Place, *, train: bool) -> list[Place]:
    """Return the tar files of a subset: all in its folder, else those in root by their names."""
    folder = root / _FOLDERS[train]
    if found := _tars(folder):
        return found
    return [tar for tar in _tars(root) if _SUBSET[train].search(tar.name.lower())]


def _tars(folder: Place) -> list[Place]:
    if not folder.is_dir():
        return []
    return sorted((one for one in seen(folder) if one.suffix.lower() == ".tar"), key=str)


@dataclass(frozen=True)
class Shards:
    """The images of some tar files."""

    tars: Sequence[Place]
    indices: Sequence[TarIndex]

    @classmethod
    def of(cls, root: Place, *, train: bool) -> "Shards":
        """Look into the tar files of a subset below a folder.

        Raises ValueError for one that is no whole tar or when no image has a class, DataError for a
        development kit that cannot be read, and OSError.
        """
        tars = tars_of(root, train=train)
        with ThreadPoolExecutor(AT_ONCE) as threads:
            indices = list(threads.map(index_of, tars))
        if not any(_OFFICIAL.fullmatch(index.names[0]) for index in indices if index.names):
            return cls(tars, indices)
        kit = root / NAME
        classes = validation_classes(kit) if kit.is_file() else []
        return cls(tars, [_with_classes(index, classes) for index in indices])

    @property
    def where(self) -> str:
        """The first tar file, for messages."""
        return str(self.tars[0]) if self.tars else "no tar file"

    @property
    def unlabeled(self) -> str:
        """What to do about images without a class; empty where all have one."""
        count = sum(name == "" for index in self.indices for name in index.classes)
        if not count:
            return ""
        return (
            f"{count} images in {self.where} and beside it have no class, neither in a file "
            f"KEY.cls nor in their names; the official validation images need {NAME} beside them"
        )

    @property
    def class_names(self) -> list[str]:
        """Return the classes of the images: sorted names, or the numbers up to the highest one."""
        classes = {name for index in self.indices for name in index.classes} - {""}
        if classes and all(name.isdecimal() for name in classes):
            return [str(number) for number in range(max(map(int, classes)) + 1)]
        return sorted(classes)

    def samples(self, class_names: Iterable[str]) -> list[tuple[Sample, int]]:
        """Return the images with a class, each with its number; others are left out."""
        number = {name: place for place, name in enumerate(class_names)}
        return [
            ((tar, place), number[name])
            for tar, index in enumerate(self.indices)
            for place, name in enumerate(index.classes)
            if name in number
        ]

    def place(self, sample: Sample) -> str:
        """Return what an image is called in messages."""
        tar, place = sample
        return f"{self.tars[tar]}/{self.indices[tar].names[place]}"

    def read(self, sample: Sample) -> bytes:
        """Return the content of an image file. Raises OSError."""
        tar, place = sample
        index = self.indices[tar]
        return read_part(self.tars[tar], int(index.offsets[place]), int(index.sizes[place]))

    def identity(self, sample: Sample) -> str:
        """Return what only this content of an image file is called. Raises OSError."""
        tar, place = sample
        return f"{identity(self.tars[tar])}\n{self.indices[tar].offsets[place]}"


def _with_classes(index: TarIndex, classes: Sequence[str]) -> TarIndex:
    """Return the index of the official validation images with their classes, as far as known."""
    numbers = [_OFFICIAL.fullmatch(name) for name in index.names]
    known = dict(enumerate(classes, start=1))
    return replace(index, classes=[known.get(int(one[1]), "") if one else "" for one in numbers])
