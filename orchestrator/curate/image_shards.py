"""Copies of images: small ones, a thousand in each tar file, in the order of the data set."""

import hashlib
import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import simplejpeg
import torch

from orchestrator.curate.check import SUBSETS
from orchestrator.curate.manifest import Copy, LeftOut, Options, Source, in_one_step
from orchestrator.curate.outcome import Outcome, State
from orchestrator.data.image_file import JPEG, UNREAD, decode_bytes, read_content
from orchestrator.data.imagenet import ImageNet
from orchestrator.data.images import BrokenImage
from orchestrator.data.shards import Shards, class_names_of
from orchestrator.data.tar_index import class_text
from orchestrator.errors import UsageError
from orchestrator.files import FULL, make_folder
from video.class_folders import named
from video.exclude import listed_name
from video.transforms import resize_short_side

PER_SHARD = 1000
LOST = "no training image of it has a copy, so that the copies have fewer classes"


@dataclass(frozen=True)
class Part:
    """The images of a shard: those from first up to last, without it, of a subset.

    subset: 0 for training, 1 for evaluation. number: of the shard.
    """

    subset: int
    number: int
    first: int
    last: int

    @property
    def name(self) -> str:
        """The name of the shard in the folder of the copies."""
        subset = SUBSETS[self.subset]
        return f"{subset}/{subset}-{self.number:05d}.tar"


@dataclass(frozen=True)
class ImageCopying:
    """Makes one shard. copies: those that are known, by their names."""

    datasets: tuple[ImageNet, ImageNet]
    root: str
    folder: Path
    options: Options
    copies: dict[str, Copy]

    def things(self) -> Sequence[Part]:
        """Return the parts of the training and the evaluation set. Raises UsageError."""
        self._check_names()
        return [
            Part(subset, number, first, min(first + PER_SHARD, len(dataset)))
            for subset, dataset in enumerate(self.datasets)
            for number, first in enumerate(range(0, len(dataset), PER_SHARD))
        ]

    def name(self, part: Part, /) -> str:
        """Return the name of a shard."""
        return part.name

    def __call__(self, part: Part, /) -> Outcome:
        """Make a shard, or keep the one that is there."""
        seen, known = self._seen(part), self.copies.get(part.name)
        if known and (known.options, known.source.sha256) == (self.options, seen):
            file = self.folder / known.name
            unread = any(one.reason.startswith(UNREAD) for one in known.left_out)  # try again
            if not unread and file.exists() and file.stat().st_size == known.size:
                return Outcome(part.name, State.KEPT, known)
        try:
            return Outcome(part.name, State.MADE, self._made(part, seen))
        except OSError as error:
            if error.errno in FULL:
                raise
            return self.failed(part, f"it cannot be written ({error.strerror})")

    def _check_names(self) -> None:
        """Raise UsageError unless the classes of the copies will be those of the originals."""
        names = self.datasets[0].class_names
        read = [class_text(_stored(name)) for name in names]
        hidden = [name for name in names if any(part[:1] == "." for part in name.split("/"))]
        if hidden or read != names or class_names_of(read) != names:
            raise UsageError(
                "Shards would take these names of classes for others, as numbers that are not in "
                "order from 0 on, line ends, or names that begin with a dot: "
                f"{named([repr(name) for name in hidden or names])}. Rename the folders."
            )

    def lost_classes(self) -> list[Outcome]:
        """Return an outcome for each class of which the copies have no image."""
        there = set(Shards.of(self.folder, train=True).class_names)
        return [
            Outcome(f"class {name}", State.FAILED, reason=LOST)
            for name in self.datasets[0].class_names
            if name not in there
        ]

    def failed(self, part: Part, reason: str, /) -> Outcome:
        """Return the outcome for a shard that could not be made."""
        return Outcome(part.name, State.FAILED, reason=reason)

    def _seen(self, part: Part) -> str:
        """Return a digest of what is seen of the images at once; they are not read."""
        dataset, digest = self.datasets[part.subset], hashlib.sha256()
        for index in range(part.first, part.last):
            line = f"{dataset.identity(index)}\n{dataset.class_of(index)}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def _made(self, part: Part, seen: str) -> Copy:
        left_out: list[LeftOut] = []
        read = 0
        target = self.folder / part.name
        make_folder(target.parent)
        with (
            in_one_step(target) as scratch,
            tarfile.open(scratch, "w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for index in range(part.first, part.last):
                try:
                    read += self._add(tar, part, index)
                except BrokenImage as error:
                    name = listed_name(error.path, self.root)
                    left_out.append(LeftOut(name, error.reason))
        source = Source(part.name, read, 0, seen)
        count, size = part.last - part.first - len(left_out), target.stat().st_size
        return Copy(part.name, count, size, source, self.options, tuple(left_out))

    def _add(self, tar: tarfile.TarFile, part: Part, index: int) -> int:
        """Add an image and its class to a shard; return how many bytes its file has.

        Raises BrokenImage.
        """
        dataset = self.datasets[part.subset]
        source, class_name = dataset.source(index), dataset.class_of(index)
        content = read_content(lambda: dataset.content(index), source)
        small = self._small(content, source)
        stem = PurePosixPath(source).stem.replace(".", "_")
        key = f"{class_name}/{index - part.first:03d}_{stem}"
        _write(tar, f"{key}.jpg", small)
        _write(tar, f"{key}.cls", _stored(class_name))
        return len(content)

    def _small(self, content: bytes, source: str) -> bytes:
        """Return an image with a short side that is not longer than wanted. Raises BrokenImage."""
        image = torch.from_numpy(decode_bytes(content, source)).permute(2, 0, 1)
        if min(image.shape[1:]) > self.options.short_side:
            image = resize_short_side(image[None], self.options.short_side)[0]
        elif content.startswith(JPEG):
            return content
        pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
        try:
            coded: bytes = simplejpeg.encode_jpeg(pixels, self.options.quality, "RGB", "420")
        except ValueError as error:
            raise BrokenImage(source, f"cannot be coded as a JPEG ({error})") from error
        return coded


def _stored(class_name: str) -> bytes:
    return class_name.encode("utf-8", "surrogateescape")


def _write(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))
