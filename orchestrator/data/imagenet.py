"""ImageNet (Russakovsky et al., IJCV 2015): class folders, the official tar files, or shards."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
from pydantic import Field, model_validator
from torch import Tensor

from orchestrator.data.class_images import ClassImages
from orchestrator.data.image_file import decode_read
from orchestrator.data.image_transforms import random_resized_crop, resized_center_crop
from orchestrator.data.images import ImageSettings, refuse_segments
from orchestrator.data.shards import Shards, ambiguous_tars, tars_of
from orchestrator.data.subset import evenly_spread
from orchestrator.data.tar_index import ENDINGS
from orchestrator.errors import DataError
from video.anywhere import Place, place_of
from video.class_folders import class_folders, named, without_files
from video.exclude import without_excluded
from video.places import ROOT, Root

SUBSETS = {True: "train", False: "val"}

HOW_TO_GET = (
    "ImageNet (ILSVRC 2012) is downloaded after registration at https://image-net.org/download.php;"
    " put ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz there"
    " as they are; or unpack and sort them to train/<class>/*.JPEG and val/<class>/*.JPEG; or give"
    " shards with KEY.jpg and KEY.cls as train/*.tar and val/*.tar."
)


class ImageNetSettings(ImageSettings, frozen=True):
    """The data section of a job that trains on ImageNet, or on images in its layout."""

    name: Literal["imagenet"] = "imagenet"
    root: Root = Field(
        description="folder that holds train and val, or s3://BUCKET/PREFIX",
        json_schema_extra=ROOT,
    )
    crop: int = Field(224, ge=8, description="height and width of what the network sees")
    resize: int = Field(256, ge=8, description="short side before the center crop of the test")

    @model_validator(mode="after")
    def _check_crops(self) -> Self:
        if self.crop > self.resize:
            raise ValueError(
                f"crop {self.crop} is larger than resize {self.resize}, from which it is cut; "
                "set resize to at least the crop"
            )
        return self


class ImageNet:
    """The images of train or val; classes are the sorted ones of train.

    In class folders they come in alphabetical order, in tar files in the order of these.

    Training: random resized crop and flip. Test: resize the short side, center crop.
    """

    Settings: ClassVar[type[ImageNetSettings]] = ImageNetSettings
    kind: ClassVar[Literal["image"]] = "image"
    metric: ClassVar[Literal["top1"]] = "top1"
    mean: ClassVar[tuple[float, float, float]] = (0.485, 0.456, 0.406)
    std: ClassVar[tuple[float, float, float]] = (0.229, 0.224, 0.225)
    num_missing: ClassVar[int] = 0

    def __init__(
        self, settings: ImageNetSettings, *, train: bool, num_segments: int | None
    ) -> None:
        """Raises ValueError when no image is found."""
        refuse_segments(num_segments)
        root = place_of(settings.root)
        self._images = images_of(root, train=train)
        self.class_names = (self._images if train else images_of(root, train=True)).class_names
        self.num_classes = len(self.class_names)
        self.sample_shape = (3, settings.crop, settings.crop)
        self._settings = settings
        samples = self._images.samples(self.class_names)
        if not samples:
            raise ValueError(f"no image ({', '.join(sorted(ENDINGS))}) below {self._images.where}")
        samples, self.exclusion = without_excluded(
            samples, lambda sample: self._images.place(sample[0]), settings
        )
        self.remarks = [*self.exclusion.remarks, *self._images.remarks(train=train)]
        limit = settings.limit_train if train else settings.limit_val
        self._samples = [samples[place] for place in evenly_spread(len(samples), limit)]

    @staticmethod
    def missing(settings: ImageNetSettings) -> list[str]:
        """Return a message for each thing that is missing."""
        root = place_of(settings.root)
        if problems := [
            f"ImageNet: no class folders and no tar files in {root / subset}. {_both(root)}"
            f"{HOW_TO_GET}"
            for train, subset in SUBSETS.items()
            if not class_folders(root / subset) and not tars_of(root, train=train)
        ]:
            return problems
        try:
            train_set, val_set = (images_of(root, train=train) for train in SUBSETS)
        except (ValueError, DataError) as error:
            return [f"ImageNet: {error}"]
        for images in (train_set, val_set):
            if isinstance(images, Shards) and not images.class_names:
                problems.append(f"ImageNet: {images.unlabeled or 'no image in ' + images.where}.")
            elif isinstance(images, Shards) and (unclear := images.unequal_folders):
                problems.append(f"ImageNet: {unclear}.")
        if problems:
            return problems
        train_classes = set(train_set.class_names)
        if unknown := sorted(set(val_set.class_names) - train_classes):
            where = f"{val_set.where} has classes that {train_set.where} lacks"
            problems.append(f"ImageNet: {where}: {named(unknown)}.")
        return problems or _empty(train_set, val_set)

    def __len__(self) -> int:
        return len(self._samples)

    def label(self, index: int) -> int:
        """Return the class."""
        return self._samples[index][1]

    def targets(self, index: int) -> list[int]:
        """Return the class, in a list."""
        return [self._samples[index][1]]

    def source(self, index: int) -> str:
        """Return the file name, for messages."""
        return self._images.place(self._samples[index][0])

    def file_name(self, index: int) -> str:
        """Return the file name without its folder, or with folders of its tar."""
        return self._images.name(self._samples[index][0])

    def content(self, index: int) -> bytes:
        """Return the content of the image's file. Raises OSError."""
        return self._images.read(self._samples[index][0])

    def class_of(self, index: int) -> str:
        """Return the name of the class."""
        return self.class_names[self.label(index)]

    def identity(self, index: int) -> str:
        """Return what only this content of the image's file is called; it is not read.

        Of a file that cannot be seen it is only its name.
        """
        try:
            return self._images.identity(self._samples[index][0])
        except OSError:
            return self.source(index)

    def load(self, index: int, generator: np.random.Generator | None) -> Tensor:
        """Return an image as uint8 (3, crop, crop): a random crop, or the test's without generator.

        Raises BrokenImage when the file cannot be decoded.
        """
        image = decode_read(lambda: self.content(index), self.source(index))
        crop = self._settings.crop
        if generator is None:
            return resized_center_crop(image, self._settings.resize, crop).contiguous()
        image = random_resized_crop(image, crop, generator)
        return (image.flip(-1) if generator.random() < 0.5 else image).contiguous()


class Images(Protocol):
    """Labeled images in folders or in tar files; what a sample is, they alone know."""

    @property
    def where(self) -> str: ...

    @property
    def class_names(self) -> list[str]: ...

    def samples(self, class_names: Sequence[str]) -> list[tuple[Any, int]]:
        """Return the images of some classes, each with its class number."""

    def remarks(self, *, train: bool) -> list[str]:
        """Return what is odd about the images, and about the classes if they are for training."""

    def place(self, sample: Any) -> str:
        """Return what an image is called in messages."""

    def name(self, sample: Any) -> str:
        """Return the name of an image in its folder or tar; much faster than its place."""

    def read(self, sample: Any) -> bytes:
        """Return the content of an image file. Raises OSError."""

    def identity(self, sample: Any) -> str:
        """Return what only this content of an image file is called. Raises OSError."""


def images_of(root: Place, *, train: bool) -> Images:
    """Return the images of a subset: those in its class folders, else those in its tar files.

    Raises what `Shards.of` raises.
    """
    folder = root / SUBSETS[train]
    if class_folders(folder) or not tars_of(root, train=train):
        return ClassImages(folder)
    return Shards.of(root, train=train)


def _both(root: Place) -> str:
    names = ambiguous_tars(root)
    return f"The name of {named(names)} fits both sets: put it into one. " if names else ""


def _empty(*subsets: Images) -> list[str]:
    return [
        f"ImageNet: no image ({', '.join(sorted(ENDINGS))}) right in the class folder of "
        f"{named(empty)} in {images.where}: fill or remove {'it' if len(empty) == 1 else 'them'}."
        for images in subsets
        if isinstance(images, ClassImages) and (empty := without_files(images.folder, ENDINGS))
    ]
