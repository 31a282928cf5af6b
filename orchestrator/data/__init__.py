"""The table of data sets, image and video, and what each of them offers.

Nothing is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from orchestrator.errors import DataError, MissingData, OrchError
from video.exclude import Exclusion, exclusion_file

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

DATASETS = {
    "cifar10": "orchestrator.data.cifar:Cifar10",
    "cifar100": "orchestrator.data.cifar:Cifar100",
    "imagenet": "orchestrator.data.imagenet:ImageNet",
    "activitynet": "video.activitynet:ActivityNet",
    "mini_kinetics": "video.mini_kinetics:MiniKinetics",
    "video_folders": "video.folders:VideoFolders",
}

PUBLISHED_CLASSES = {
    "cifar10": 10,
    "cifar100": 100,
    "imagenet": 1000,
    "activitynet": 200,
    "mini_kinetics": 200,
    "video_folders": 101,
}
"""How many classes the data sets have as they are published; a copy may have fewer.

Of class folders with videos it is UCF101's number."""

SIDE_OF_CIFAR = 32

Channels = tuple[float, float, float]
"""A value for each of red, green and blue."""

RAW = (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)
"""The mean and deviation with which pixels stay what they are, 0 to 255."""


class Dataset(Protocol):
    """Labeled samples, addressed by number. Instances can be pickled and hold no open file.

    The class attribute Settings is the pydantic model of the data set's section of a job file: it
    has `name`, `max_broken_share` and, if the data set reads files, `root`, the only one without a
    default. It may have `metric`, where a job chooses what is reported, and `pixels`, where it
    chooses the scale of the network's inputs.
    mean, std: of the channels red, green, blue, for pixels in [0, 1].
    """

    mean: ClassVar[Channels]
    std: ClassVar[Channels]
    num_classes: int
    class_names: list[str]

    @staticmethod
    def missing(settings: Any) -> list[str]:
        """Return a message for each thing that is missing, with where it can be had.

        A data set without files returns none.
        """

    def __init__(self, settings: Any, *, train: bool, num_segments: int | None) -> None: ...

    @property
    def kind(self) -> Literal["image", "video"]:
        """Whether a sample is an image or several frames of a video; a class attribute too."""

    @property
    def metric(self) -> Literal["top1", "map"]:
        """The metric that is reported: top-1 accuracy or mean average precision."""

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of what `load` returns."""

    @property
    def num_missing(self) -> int:
        """How many of the samples have no file."""

    def __len__(self) -> int: ...

    def label(self, index: int) -> int:
        """Return the class to train on."""

    def targets(self, index: int) -> list[int]:
        """Return all true classes."""

    def source(self, index: int) -> str:
        """Return the sample's name for messages."""

    def load(self, index: int, generator: np.random.Generator | None) -> Tensor:
        """Return uint8 (channels, height, width), for a video (frames, channels, height, width).

        generator: the randomness of the training transform; None asks for the test transform.
        Raises BrokenImage or BrokenVideo when the sample cannot be read.
        """


def dataset_class(name: str) -> type[Dataset]:
    """Return the class of a data set of the table."""
    module, attribute = DATASETS[name].split(":")
    found: type[Dataset] = getattr(import_module(module), attribute)
    return found


def published_form(settings: Any) -> tuple[int, int]:
    """Return the number of classes, and the height and width of an input; nothing is read."""
    return PUBLISHED_CLASSES[settings.name], getattr(settings, "crop", SIDE_OF_CIFAR)


def metric_of(settings: Any) -> str:
    """Return the metric by which the data set of these settings is judged: "top1" or "map"."""
    return getattr(settings, "metric", None) or str(dataset_class(settings.name).metric)


def input_scale(settings: Any) -> tuple[Channels, Channels]:
    """Return the mean and deviation, for pixels in [0, 1], with which a network scales its inputs.

    They are the data set's own; with `pixels: raw`, values from 0 to 255 go in, as in AdaBits.
    """
    if getattr(settings, "pixels", None) == "raw":
        return RAW
    data = dataset_class(settings.name)
    return data.mean, data.std


def missing_data(settings: Any) -> list[str]:
    """Return a message for each thing that the data set lacks. Decodes nothing."""
    try:
        if (listed := exclusion_file(settings)) and not listed.is_file():
            return [f"exclude: no file {listed}."]
        return dataset_class(settings.name).missing(settings)
    except OrchError:
        raise
    except OSError as error:
        return [f"{error.filename or settings.name} cannot be read ({error.strerror})."]


def open_dataset(settings: Any, *, train: bool, num_segments: int | None) -> Dataset:
    """Return the training or the evaluation set that settings describe.

    Raises MissingData when something is missing, DataError when what is there cannot be used, and
    what a storage raises that does not answer.
    """
    try:
        return dataset_class(settings.name)(settings, train=train, num_segments=num_segments)
    except OrchError:
        raise
    except (ValueError, OSError) as error:
        if problems := missing_data(settings):
            raise MissingData("\n".join(problems)) from error
        raise DataError(str(error)) from error


def not_in_any(*datasets: Dataset) -> list[str]:
    """Return a line about names that a list leaves out and that are in none of the data sets."""
    lists: list[Exclusion] = [getattr(one, "exclusion", Exclusion()) for one in datasets]
    unknown = sorted(lists[0].names.difference(*(one.found for one in lists)))
    if not unknown:
        return []
    some = f"{len(unknown)} of the {len(lists[0].names)} names in data.exclude are"
    return [f"{some} in neither set, for instance {unknown[0]!r}; they leave out nothing."]
