"""Labeled images in class folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.data.tar_index import ENDINGS
from video.anywhere import Place, identity, refuse_irregular
from video.class_folders import class_folders
from video.unread import IMAGES, Unread

Sample = tuple[str, str]
"""The class of an image, and the name of its file."""


@dataclass
class ClassImages:
    """The images in the class folders of a folder."""

    folder: Place

    def __post_init__(self) -> None:
        self._unread = self._nothing_yet()

    @property
    def where(self) -> str:
        """The folder, for messages."""
        return str(self.folder)

    @property
    def class_names(self) -> list[str]:
        """The sorted names of the class folders."""
        return class_folders(self.folder)

    def samples(self, class_names: Sequence[str]) -> list[tuple[Sample, int]]:
        """Return the images, each with its class number, by class and name."""
        there = set(self.class_names)
        self._unread = self._nothing_yet()
        return [
            ((class_name, name), label)
            for label, class_name in enumerate(class_names)
            if class_name in there
            for name in sorted(entry.name for entry in self._unread.files(class_name))
        ]

    def remarks(self, *, train: bool) -> list[str]:
        """Return what is no sample although it may have been meant to be; after `samples`."""
        return self._unread.remarks(self.class_names)

    def _nothing_yet(self) -> Unread:
        return Unread(self.folder, ENDINGS, IMAGES, archives=frozenset({".tar"}))

    def place(self, sample: Sample) -> str:
        """Return the name of an image's file."""
        return str(self._file(sample))

    def name(self, sample: Sample) -> str:
        """Return the name of an image in its folder."""
        return sample[1]

    def read(self, sample: Sample) -> bytes:
        """Return the content of an image's file. Raises OSError."""
        file = self._file(sample)
        if isinstance(file, Path):
            refuse_irregular(file)
        return file.read_bytes()

    def identity(self, sample: Sample) -> str:
        """Return what only this content of an image file is called. Raises OSError."""
        return identity(self._file(sample))

    def _file(self, sample: Sample) -> Place:
        class_name, name = sample
        return self.folder / class_name / name
