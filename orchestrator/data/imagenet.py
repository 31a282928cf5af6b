"""ImageNet (Russakovsky et al., IJCV 2015): train and val with a folder of images per class."""

from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator
from torch import Tensor

from orchestrator.data.image_file import decode_image
from orchestrator.data.image_transforms import random_resized_crop, resized_center_crop
from orchestrator.data.images import ImageSettings, refuse_segments
from orchestrator.data.subset import evenly_spread
from video.anywhere import Place, place_of
from video.class_folders import class_folders, named, seen, without_files
from video.exclude import without_excluded
from video.places import ROOT

SUBSETS = {True: "train", False: "val"}
ENDINGS = frozenset({".jpeg", ".jpg", ".png"})

HOW_TO_GET = (
    "ImageNet (ILSVRC 2012) is downloaded after registration at https://image-net.org/download.php;"
    " unpack it to train/<class>/*.JPEG and sort the validation images to val/<class>/*.JPEG."
)


class ImageNetSettings(ImageSettings, frozen=True):
    """The data section of a job that trains on ImageNet, or on images in its layout."""

    name: Literal["imagenet"] = "imagenet"
    root: str | Path = Field(
        description="folder that holds train and val, or s3://BUCKET/PREFIX",
        json_schema_extra=ROOT,
        union_mode="left_to_right",
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
    """The images of train or val, in alphabetical order; classes are the sorted folders of train.

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
        self.class_names = class_folders(root / SUBSETS[True])
        self.num_classes = len(self.class_names)
        self.sample_shape = (3, settings.crop, settings.crop)
        self._folder = root / SUBSETS[train]
        self._settings = settings
        samples = list_images(self._folder, self.class_names)
        if not samples:
            raise ValueError(f"no image ({', '.join(sorted(ENDINGS))}) below {self._folder}")
        samples, self.exclusion = without_excluded(samples, self._place, settings)
        self.remarks = [*(self._unjudged(root) if train else ()), *self.exclusion.remarks]
        limit = settings.limit_train if train else settings.limit_val
        self._samples = [samples[place] for place in evenly_spread(len(samples), limit)]

    @staticmethod
    def missing(settings: ImageNetSettings) -> list[str]:
        """Return a message for each thing that is missing."""
        train, val = (place_of(settings.root) / subset for subset in SUBSETS.values())
        problems = [
            f"ImageNet: no class folders in {folder}. {HOW_TO_GET}"
            for folder in (train, val)
            if not class_folders(folder)
        ]
        if problems:
            return problems
        if unknown := sorted(set(class_folders(val)) - set(class_folders(train))):
            return [f"ImageNet: {val} has classes that {train} lacks: {named(unknown)}."]
        return [
            f"ImageNet: no image ({', '.join(sorted(ENDINGS))}) right in the class folder of "
            f"{named(empty)} in {folder}: fill or remove {'it' if len(empty) == 1 else 'them'}."
            for folder in (train, val)
            if (empty := without_files(folder, ENDINGS))
        ]

    def _unjudged(self, root: Place) -> list[str]:
        val = root / SUBSETS[False]
        lacking = sorted(set(self.class_names) - set(class_folders(val)))
        return [f"{val} has no image of {named(lacking)}."] if lacking else []

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
        return self._place(self._samples[index])

    def _place(self, sample: tuple[str, int]) -> str:
        name, label = sample
        return str(self._folder / self.class_names[label] / name)

    def _file(self, index: int) -> Place:
        name, label = self._samples[index]
        return self._folder / self.class_names[label] / name

    def load(self, index: int, generator: np.random.Generator | None) -> Tensor:
        """Return an image as uint8 (3, crop, crop): a random crop, or the test's without generator.

        Raises BrokenImage when the file cannot be decoded.
        """
        image = decode_image(self._file(index))
        crop = self._settings.crop
        if generator is None:
            return resized_center_crop(image, self._settings.resize, crop).contiguous()
        image = random_resized_crop(image, crop, generator)
        return (image.flip(-1) if generator.random() < 0.5 else image).contiguous()


def list_images(folder: Place, class_names: list[str]) -> list[tuple[str, int]]:
    """Return (file name, class number) of the images in the class folders of a folder, sorted."""
    return [
        (name, label)
        for label, class_name in enumerate(class_names)
        if (folder / class_name).is_dir()
        for name in sorted(entry.name for entry in seen(folder / class_name))
        if Path(name).suffix.lower() in ENDINGS
    ]
