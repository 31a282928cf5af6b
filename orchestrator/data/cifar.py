"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009) in their official layouts, the Python versions."""

import io
import math
import pickle
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from orchestrator.data.image_transforms import random_shifted_crop
from orchestrator.data.images import ImageSettings, refuse_segments
from orchestrator.data.official import official_folder
from orchestrator.data.subset import evenly_spread
from orchestrator.errors import DataError, OrchError
from video.anywhere import Place, place_of
from video.exclude import without_excluded
from video.places import ROOT, Root

CHANNELS_AND_SIDE = (3, 32, 32)


@dataclass(frozen=True)
class Layout:
    """The official files of a data set.

    title: what it is called. folder: holds the files. md5: of its archive. meta: names the classes,
    under the key `names`. train, test: hold images, and their classes under the key `labels`.
    """

    title: str
    folder: str
    md5: str
    meta: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    labels: bytes
    names: bytes

    @property
    def archive(self) -> str:
        """The name of the archive."""
        return f"{self.title.lower()}-python.tar.gz"

    @property
    def how_to_get(self) -> str:
        """Where the files can be had."""
        return (
            f"{self.title} comes from https://www.cs.toronto.edu/~kriz/cifar.html: put the Python "
            f"version, {self.archive}, there, or unpack it there."
        )

    def place(self, root: Place) -> Place:
        """Return the folder of the files. Raises DataError for an archive that is no good."""
        names = {self.meta, *self.train, *self.test}
        return official_folder(root, self.folder, self.archive, self.md5, names)


CIFAR10 = Layout(
    title="CIFAR-10",
    folder="cifar-10-batches-py",
    md5="c58f30108f718f92721af3b95e74349a",
    meta="batches.meta",
    train=tuple(f"data_batch_{number}" for number in range(1, 6)),
    test=("test_batch",),
    labels=b"labels",
    names=b"label_names",
)

CIFAR100 = Layout(
    title="CIFAR-100",
    folder="cifar-100-python",
    md5="eb9058c3a382ffc7106e4002c42a8d85",
    meta="meta",
    train=("train",),
    test=("test",),
    labels=b"fine_labels",
    names=b"fine_label_names",
)


class Cifar10Settings(ImageSettings, frozen=True):
    """The data section of a job that trains on CIFAR-10."""

    name: Literal["cifar10"] = "cifar10"
    root: Root = Field(
        description=f"{CIFAR10.folder}, or the folder of it or of its archive, or s3://BUCKET/PREFIX",
        json_schema_extra=ROOT,
    )


class Cifar100Settings(ImageSettings, frozen=True):
    """The data section of a job that trains on the 100 fine classes of CIFAR-100."""

    name: Literal["cifar100"] = "cifar100"
    root: Root = Field(
        description=f"{CIFAR100.folder}, or the folder of it or of its archive, or s3://BUCKET/PREFIX",
        json_schema_extra=ROOT,
    )


class Cifar:
    """Images of 32x32, all in memory: 50,000 to train on, 10,000 to test, in the official files.

    Training: zero padding of 4, random crop of 32, flip. Test: as they are.
    """

    layout: ClassVar[Layout]
    kind: ClassVar[Literal["image"]] = "image"
    metric: ClassVar[Literal["top1"]] = "top1"
    sample_shape: ClassVar[tuple[int, ...]] = CHANNELS_AND_SIDE
    num_missing: ClassVar[int] = 0

    def __init__(self, settings: ImageSettings, *, train: bool, num_segments: int | None) -> None:
        """Raises DataError when a file is damaged."""
        refuse_segments(num_segments)
        layout = self.layout
        folder = layout.place(place_of(settings.root))
        self.class_names = read_class_names(folder / layout.meta, layout)
        self.num_classes = len(self.class_names)
        names = layout.train if train else layout.test
        batches = [read_batch(folder / name, self.num_classes, layout) for name in names]
        images = np.concatenate([images for images, _ in batches])
        labels = [label for _, labels in batches for label in labels]
        limit = settings.limit_train if train else settings.limit_val
        self._train = train
        places, self.exclusion = without_excluded(range(len(labels)), self._called, settings)
        self.remarks = self.exclusion.remarks
        self._kept = [places[number] for number in evenly_spread(len(places), limit)]
        self._images = torch.from_numpy(images[self._kept])
        self._labels = [labels[place] for place in self._kept]

    @classmethod
    def missing(cls, settings: ImageSettings) -> list[str]:
        """Return one message that names the official files that are missing."""
        layout = cls.layout
        try:
            folder = layout.place(place_of(settings.root))
        except DataError as error:
            return [str(error)]
        names = (layout.meta, *layout.train, *layout.test)
        absent = [name for name in names if not (folder / name).is_file()]
        if not absent:
            return []
        return [f"{layout.title}: no {', '.join(absent)} in {folder}. {layout.how_to_get}"]

    def __len__(self) -> int:
        return len(self._labels)

    def label(self, index: int) -> int:
        """Return the class."""
        return self._labels[index]

    def targets(self, index: int) -> list[int]:
        """Return the class, in a list."""
        return [self._labels[index]]

    def source(self, index: int) -> str:
        """Return the image's place in the official order, for messages."""
        return self._called(self._kept[index])

    def _called(self, place: int) -> str:
        return f"{self.layout.folder} {'training' if self._train else 'test'} image {place}"

    def load(self, index: int, generator: np.random.Generator | None) -> Tensor:
        """Return an image as uint8 (3, 32, 32): randomly changed, or as it is without generator."""
        image = self._images[index]
        if generator is None:
            return image
        image = random_shifted_crop(image, 4, generator)
        return image.flip(-1) if generator.random() < 0.5 else image


class Cifar10(Cifar):
    """Ten classes."""

    Settings: ClassVar[type[Cifar10Settings]] = Cifar10Settings
    layout: ClassVar[Layout] = CIFAR10
    mean: ClassVar[tuple[float, float, float]] = (0.4914, 0.4822, 0.4465)
    std: ClassVar[tuple[float, float, float]] = (0.2023, 0.1994, 0.2010)


class Cifar100(Cifar):
    """A hundred classes, the fine ones; the twenty coarse ones are not read."""

    Settings: ClassVar[type[Cifar100Settings]] = Cifar100Settings
    layout: ClassVar[Layout] = CIFAR100
    mean: ClassVar[tuple[float, float, float]] = (0.5071, 0.4867, 0.4408)
    std: ClassVar[tuple[float, float, float]] = (0.2675, 0.2565, 0.2761)


def read_class_names(path: Place, layout: Layout) -> list[str]:
    """Return the names of the classes. Raises DataError when the file is damaged."""
    names = _unpickle(path, layout).get(layout.names)
    if not isinstance(names, list) or not all(isinstance(name, bytes) for name in names):
        raise DataError(f"{path} holds no list of class names. {layout.how_to_get}")
    try:
        return [name.decode() for name in names]
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} holds names of classes that are no text in UTF-8. {layout.how_to_get}"
        ) from error


def read_batch(path: Place, num_classes: int, layout: Layout) -> tuple[np.ndarray, list[int]]:
    """Return the images of a batch, uint8 (images, 3, 32, 32), and their labels.

    Raises DataError when the file is damaged.
    """
    batch = _unpickle(path, layout)
    data, labels = batch.get(b"data"), batch.get(layout.labels)
    if (
        not isinstance(data, np.ndarray)
        or data.dtype != np.uint8
        or not isinstance(labels, list)
        or data.shape != (len(labels), math.prod(CHANNELS_AND_SIDE))
        or not all(isinstance(label, int) and 0 <= label < num_classes for label in labels)
    ):
        raise DataError(
            f"{path} does not hold images of {layout.title} and labels. {layout.how_to_get}"
        )
    return data.reshape(-1, *CHANNELS_AND_SIDE), labels


def _unpickle(path: Place, layout: Layout) -> dict[Any, Any]:
    try:
        file = io.BytesIO(path.read_bytes())
        content = _ArrayUnpickler(file, encoding="bytes").load()
    except OrchError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise DataError(f"{path} cannot be read ({error}). {layout.how_to_get}") from error
    return content if isinstance(content, dict) else {}


class _ArrayUnpickler(pickle.Unpickler):
    """Makes only arrays and plain values; a pickle that names anything else is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return _empty_array
        if (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module, name) == ("numpy", "dtype"):
            return _dtype
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not an array")


def _empty_array(kind: type[np.ndarray], shape: tuple[int, ...], code: bytes) -> np.ndarray:
    """Return what numpy's own _reconstruct does: an array for the pickle's state to fill."""
    return np.ndarray.__new__(kind, shape, np.dtype(code.decode("ascii")))


def _dtype(code: bytes, align: int, copy: int) -> np.dtype[Any]:
    """Return np.dtype from what Python 2 pickled, which has numbers for booleans."""
    return np.dtype(code.decode("ascii"), align=bool(align), copy=bool(copy))
