"""CIFAR-10 (Krizhevsky, 2009) in its official layout, the Python version."""

import pickle
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import BaseModel, Field
from torch import Tensor

from orchestrator.data.image_transforms import random_shifted_crop
from orchestrator.data.images import refuse_segments
from orchestrator.data.subset import evenly_spread
from orchestrator.errors import DataError

FOLDER = "cifar-10-batches-py"
META = "batches.meta"
BATCHES = {True: [f"data_batch_{number}" for number in range(1, 6)], False: ["test_batch"]}

HOW_TO_GET = (
    "CIFAR-10 comes from https://www.cs.toronto.edu/~kriz/cifar.html: unpack the Python version, "
    "cifar-10-python.tar.gz, there."
)


class Cifar10Settings(BaseModel, frozen=True, extra="forbid"):
    """The data section of a job that trains on CIFAR-10."""

    name: Literal["cifar10"] = "cifar10"
    root: Path = Field(description=f"folder that holds {FOLDER}")
    limit_train: int | None = Field(
        None, ge=1, description="train on this many images, evenly spread over the list"
    )
    limit_val: int | None = Field(
        None, ge=1, description="evaluate on this many images, evenly spread over the list"
    )
    max_broken_share: float = Field(
        0.05, ge=0, le=1, description="stop when more than this share of the images is broken"
    )


class Cifar10:
    """50,000 training or 10,000 test images of 32x32, all in memory.

    Training: zero padding of 4, random crop of 32, flip. Test: as they are.
    """

    Settings: ClassVar[type[Cifar10Settings]] = Cifar10Settings
    kind: ClassVar[Literal["image"]] = "image"
    metric: ClassVar[Literal["top1"]] = "top1"
    mean: ClassVar[tuple[float, float, float]] = (0.4914, 0.4822, 0.4465)
    std: ClassVar[tuple[float, float, float]] = (0.2023, 0.1994, 0.2010)
    sample_shape: ClassVar[tuple[int, ...]] = (3, 32, 32)
    num_missing: ClassVar[int] = 0

    def __init__(self, settings: Cifar10Settings, *, train: bool, num_segments: int | None) -> None:
        """Raises DataError when a file is damaged."""
        refuse_segments(num_segments)
        folder = Path(settings.root) / FOLDER
        self.class_names = read_class_names(folder / META)
        self.num_classes = len(self.class_names)
        batches = [read_batch(folder / name, self.num_classes) for name in BATCHES[train]]
        images = np.concatenate([images for images, _ in batches])
        labels = [label for _, labels in batches for label in labels]
        limit = settings.limit_train if train else settings.limit_val
        self._kept = evenly_spread(len(labels), limit)
        self._images = torch.from_numpy(images[self._kept])
        self._labels = [labels[place] for place in self._kept]
        self._train = train

    @staticmethod
    def missing(settings: Cifar10Settings) -> list[str]:
        """Return one message that names the official files that are missing."""
        folder = Path(settings.root) / FOLDER
        names = [META, *BATCHES[True], *BATCHES[False]]
        absent = [name for name in names if not (folder / name).is_file()]
        if not absent:
            return []
        return [f"CIFAR-10: no {', '.join(absent)} in {folder}. {HOW_TO_GET}"]

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
        return f"{FOLDER} {'training' if self._train else 'test'} image {self._kept[index]}"

    def load(self, index: int, generator: np.random.Generator | None) -> Tensor:
        """Return an image as uint8 (3, 32, 32): randomly changed, or as it is without generator."""
        image = self._images[index]
        if generator is None:
            return image
        image = random_shifted_crop(image, 4, generator)
        return image.flip(-1) if generator.random() < 0.5 else image


def read_class_names(path: Path) -> list[str]:
    """Return the ten class names of batches.meta. Raises DataError when it is damaged."""
    names = _unpickle(path).get(b"label_names")
    if not isinstance(names, list) or not all(isinstance(name, bytes) for name in names):
        raise DataError(f"{path} holds no list of class names. {HOW_TO_GET}")
    return [name.decode("ascii") for name in names]


def read_batch(path: Path, num_classes: int) -> tuple[np.ndarray, list[int]]:
    """Return the images of a batch, uint8 (images, 3, 32, 32), and their labels.

    Raises DataError when the file is damaged.
    """
    batch = _unpickle(path)
    data, labels = batch.get(b"data"), batch.get(b"labels")
    if (
        not isinstance(data, np.ndarray)
        or data.dtype != np.uint8
        or not isinstance(labels, list)
        or data.shape != (len(labels), 3 * 32 * 32)
        or not all(isinstance(label, int) and 0 <= label < num_classes for label in labels)
    ):
        raise DataError(f"{path} does not hold images of CIFAR-10 and their labels. {HOW_TO_GET}")
    return data.reshape(-1, 3, 32, 32), labels


def _unpickle(path: Path) -> dict[Any, Any]:
    try:
        with path.open("rb") as file:
            content = _ArrayUnpickler(file, encoding="bytes").load()
    except Exception as error:  # a damaged pickle can raise anything
        raise DataError(f"{path} cannot be read ({error}). {HOW_TO_GET}") from error
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
