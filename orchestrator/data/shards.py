"""Labeled images in tar files: shards in webdataset's layout, or the official files of ImageNet."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

from orchestrator.data.devkit import NAME, validation_classes
from orchestrator.data.tar_index import TarIndex, index_of
from video.anywhere import Place, identity, read_part
from video.class_folders import named, seen
from video.unread import Kind

AT_ONCE = 8
"""How many tars are looked into at the same time."""
MANY = 10_000
"""So many classes there may be although there are not as many images."""
_SUBSET = {True: re.compile(r"(?<![a-z])train"), False: re.compile(r"(?<![a-z])val")}
_FOLDERS = {True: "train", False: "val"}
_ID = re.compile(r"n\d{8}")
_SYNSET = re.compile(r"n\d{8}(?=_)")
_OFFICIAL = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG")
_TRAIN, _DOGS = "ILSVRC2012_img_train.tar", "ILSVRC2012_img_train_t3.tar"

Sample = tuple[int, int]
"""The number of a tar, and that of an image in it."""


def tars_of(root: Place, *, train: bool) -> list[Place]:
    """Return the tar files of a subset: all in its folder, else those in root by their names.

    The official one of dogs repeats images of the one of all training images beside it.
    """
    tars = _tars(root / _FOLDERS[train])
    if not tars:
        tars = [tar for tar in _tars(root) if _subsets(tar) == [train]]
    whole = any(tar.name == _TRAIN for tar in tars)
    return [tar for tar in tars if not (whole and tar.name == _DOGS)]


def ambiguous_tars(root: Place) -> list[str]:
    """Return the names of the tar files in root that are called after both subsets."""
    return [tar.name for tar in _tars(root) if len(_subsets(tar)) == len(_SUBSET)]


def _subsets(tar: Place) -> list[bool]:
    return [train for train, name in _SUBSET.items() if name.search(tar.name.lower())]


def _tars(folder: Place) -> list[Place]:
    if not folder.is_dir():
        return []
    return sorted((one for one in seen(folder) if one.suffix.lower() == ".tar"), key=str)


@dataclass(frozen=True)
class Shards:
    """The images of some tar files. classes: of the images of each; empty where none is known."""

    tars: Sequence[Place]
    indices: Sequence[TarIndex]
    classes: Sequence[Sequence[str]]

    @classmethod
    def of(cls, root: Place, *, train: bool) -> "Shards":
        """Look into the tar files of a subset below a folder.

        Raises ValueError for one that is no whole tar, and for numbers of classes that cannot be
        meant; DataError for a development kit that cannot be read, and OSError.
        """
        tars = tars_of(root, train=train)
        with ThreadPoolExecutor(AT_ONCE) as threads:
            indices = list(threads.map(index_of, tars))
        shards = cls(tars, indices, _classes(indices, root, root / _FOLDERS[train]))
        shards._check_numbers()
        return shards

    @property
    def where(self) -> str:
        """The first tar file, for messages."""
        return str(self.tars[0]) if self.tars else "no tar file"

    def remarks(self, *, train: bool) -> list[str]:
        """Return what is odd about the images, and about the classes if they are for training."""
        of_classes = (self.mixed_classes,) if train else ()
        left_out = f"{self.unlabeled}. They are left out" if self.unlabeled else ""
        own = [f"{one}." for one in (self.lost_links, left_out, *of_classes) if one]
        return [*own, *self._unread()]

    def _unread(self) -> list[str]:
        unknown, repeated, cut = Kind(), Kind(), Kind()
        for tar, index in zip(self.tars, self.indices, strict=True):
            for name in index.unread:
                unknown.add(f"{tar}/{name}")
            if index.followed:
                cut.add(tar)
            if len(set(index.names)) < len(index.names):
                for name, count in Counter(index.names).items():
                    repeated.add(f"{tar}/{name}", count - 1)
        return [
            *unknown.line("left out, of formats that are not read"),
            *repeated.line("read beside another one of the same name in the same tar"),
            *cut.line("followed by data that is not read, as where cat joined tars"),
        ]

    @property
    def unlabeled(self) -> str:
        """What to do about images without a class; empty where all have one."""
        lacking = [
            name
            for index, classes in zip(self.indices, self.classes, strict=True)
            for name, known in zip(index.names, classes, strict=True)
            if known == ""
        ]
        if not lacking:
            return ""
        why = "neither in a file KEY.cls nor in their names"
        if self._numbered:
            why = "in no file KEY.cls of their own, as others have"
        elif any(map(_OFFICIAL.fullmatch, lacking)):
            why += f"; the official validation images need {NAME} beside them"
        count = f"{len(lacking)} images in {self.where} and beside it have no class"
        return f"{count}, {why}; one is {lacking[0]}"

    @property
    def unequal_folders(self) -> str:
        """What to do about folders of which it is not known that they are classes; else empty.

        They may lie unequally deep, or one name may be that of several, as in dog/images/1.jpg and
        cat/images/1.jpg. Synsets are classes wherever they lie.
        """
        found: dict[str, str] = {}  # the folders that gave a class, each with an image
        for index, classes in zip(self.indices, self.classes, strict=True):
            if not index.numbered:
                pairs = zip(index.names, classes, strict=True)
                found |= {_path(name): name for name, known in pairs if _folder(name) == known}
        found = {path: name for path, name in found.items() if not _ID.fullmatch(_folder(name))}
        found.pop("", None)
        first: dict[str, str] = {}
        for path, image in found.items():
            other = first.setdefault(_folder(image), path)
            if other != path or path.count("/") != next(iter(found)).count("/"):
                other = other if other != path else next(iter(found))
                return (
                    f"{self.where} and beside it have {found[other]} and {image}, of which the "
                    "classes are not clear: pack each class as one folder, at one place, as "
                    "CLASS/IMAGE or FOLDER/CLASS/IMAGE, all equally deep, or give each image a "
                    "file KEY.cls"
                )
        return ""

    @property
    def lost_links(self) -> str:
        """What to do about links that lead out of their tars; empty where none does."""
        for tar, index in zip(self.tars, self.indices, strict=True):
            if index.lost:
                count = sum(len(one.lost) for one in self.indices)
                return (
                    f"{count} links in {tar} and beside it lead to nothing in their tar, such as "
                    f"{index.lost[0]}: pack what they lead to (tar --dereference)"
                )
        return ""

    @property
    def mixed_classes(self) -> str:
        """What becomes of numbers beside names in files KEY.cls; empty unless there are both."""
        others = sorted(name for name in self._found if not _all_numbers([name]))
        if not self._numbered or len(others) in (0, len(self._found)):
            return ""
        return (
            f"{self.where} and beside it have numbers for classes and also {named(others)}, so "
            "that all are taken for names, in alphabetical order"
        )

    @cached_property
    def class_names(self) -> list[str]:
        """The classes of the images: sorted names, or the numbers up to the highest one."""
        return class_names_of(self._found) if self._numbered else sorted(self._found)

    @property
    def _found(self) -> set[str]:
        return {name for classes in self.classes for name in classes} - {""}

    @property
    def _numbered(self) -> bool:
        return any(index.numbered for index in self.indices)

    def _check_numbers(self) -> None:
        found, images = self._found, sum(map(len, self.classes))
        if self._numbered and _all_numbers(found):
            highest = max(map(int, found))
            if highest >= max(images, MANY):
                raise ValueError(
                    f"{self.where} and beside it have {images} images and the number {highest} for "
                    "a class: these numbers begin at 0 and go on without large gaps"
                )

    def samples(self, class_names: Iterable[str]) -> list[tuple[Sample, int]]:
        """Return the images with a class, each with its number; others are left out."""
        number = {name: place for place, name in enumerate(class_names)}
        return [
            ((tar, place), number[name])
            for tar, classes in enumerate(self.classes)
            for place, name in enumerate(classes)
            if name in number
        ]

    def place(self, sample: Sample) -> str:
        """Return what an image is called in messages."""
        tar, place = sample
        return f"{self.tars[tar]}/{self.indices[tar].names[place]}"

    def name(self, sample: Sample) -> str:
        """Return the name of an image in its tar."""
        tar, place = sample
        return self.indices[tar].names[place]

    def read(self, sample: Sample) -> bytes:
        """Return the content of an image file. Raises OSError."""
        tar, place = sample
        index = self.indices[tar]
        return read_part(self.tars[tar], int(index.offsets[place]), int(index.sizes[place]))

    def identity(self, sample: Sample) -> str:
        """Return what only this content of an image file is called. Raises OSError."""
        tar, place = sample
        return f"{identity(self.tars[tar])}\n{self.indices[tar].offsets[place]}"


def class_names_of(texts: Iterable[str]) -> list[str]:
    """Return the classes that files KEY.cls of these texts have, in the order of their numbers."""
    found = set(texts)
    if _all_numbers(found):
        return [str(number) for number in range(max(map(int, found)) + 1)]
    return sorted(found)


def _classes(indices: Sequence[TarIndex], *kit_places: Place) -> list[list[str]]:
    """Return the classes of the images of some tars.

    They are in files KEY.cls wherever there are any. Else they are the numbers of the official
    validation images in their kit, the folders of the images, or the beginnings of their names.
    """
    if any(index.numbered for index in indices):
        numbers = _all_numbers({name for index in indices for name in index.classes} - {""})
        return [
            [str(int(name)) if numbers and name else name for name in index.classes]
            for index in indices
        ]
    if any(_OFFICIAL.fullmatch(index.names[0]) for index in indices if index.names):
        kits = [place / NAME for place in kit_places if (place / NAME).is_file()]
        known = dict(enumerate(validation_classes(kits[0]) if kits else [], start=1))
        return [[_by_number(name, known) for name in index.names] for index in indices]
    folders = _are_classes(name for index in indices for name in index.names)
    return [[_by_name(name, folders=folders) for name in index.names] for index in indices]


def _are_classes(names: Iterable[str]) -> bool:
    """Return whether the folders of images are classes, rather than the synsets in their names.

    They are not where there is only one, or where images of a synset are in several: these are
    parts of a set.
    """
    folders, homes, parted, others = set(), dict[str, str](), False, False
    for name in names:
        if folder := _folder(name):
            folders.add(folder)
            synset = _SYNSET.match(name, name.rfind("/") + 1)
            others |= synset is None
            parted |= synset is not None and homes.setdefault(synset[0], folder) != folder
    return len(folders) > 1 and (others or not parted)


def _all_numbers(names: Iterable[str]) -> bool:
    """Whether there are names, and all are numbers."""
    found = list(names)
    return bool(found) and all(name.strip().isdecimal() for name in found)


def _by_number(name: str, known: Mapping[int, str]) -> str:
    official = _OFFICIAL.fullmatch(name)
    return known.get(int(official[1]), "") if official else ""


def _path(name: str) -> str:
    """Return the folders above an image."""
    return name.rpartition("/")[0]


def _folder(name: str) -> str:
    """Return the name of the folder right above an image; PurePosixPath would take seconds."""
    return name.rpartition("/")[0].rpartition("/")[2]


def _by_name(name: str, *, folders: bool) -> str:
    """Return a class from the name of an image. folders: whether its folder says it first."""
    synset = _SYNSET.match(name, name.rfind("/") + 1)
    if synset and not (folders and _folder(name)):
        return synset[0]
    return _folder(name)
