"""Random images with random labels, as a data set in memory."""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from benchmarks.settings import Setting
from orchestrator.data import Channels
from orchestrator.data.loader import LoadedBatch


class Noise:
    """A data set, as `orchestrator.data` asks for one, of a setting's images."""

    kind: Literal["image", "video"] = "image"
    metric: Literal["top1", "map"] = "top1"
    num_missing = 0
    mean: ClassVar[Channels] = (0.5, 0.5, 0.5)
    std: ClassVar[Channels] = (0.5, 0.5, 0.5)

    def __init__(self, setting: Setting, samples: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.sample_shape = (3, setting.size, setting.size)
        self.num_classes = setting.classes
        self.class_names = [str(number) for number in range(setting.classes)]
        shape = (samples, *self.sample_shape)
        self.images = torch.randint(256, shape, generator=generator).byte()
        self.labels = torch.randint(setting.classes, (samples,), generator=generator)

    @staticmethod
    def missing(settings: Any) -> list[str]:
        """Return that nothing is missing."""
        return []

    def batch(self) -> LoadedBatch:
        """Return all samples as one batch for training."""
        indices = torch.arange(len(self))
        return LoadedBatch(self.images, self.labels, indices, indices >= 0, [])

    def normalized(self) -> Tensor:
        """Return all images around zero, float32 (samples, 3, height, width)."""
        return self.images.float() / 127.5 - 1

    def __len__(self) -> int:
        return len(self.labels)

    def label(self, index: int) -> int:
        """Return the class to train on."""
        return int(self.labels[index])

    def targets(self, index: int) -> list[int]:
        """Return all true classes."""
        return [self.label(index)]

    def source(self, index: int) -> str:
        """Return the sample's name."""
        return str(index)

    def load(self, index: int, generator: object) -> Tensor:
        """Return uint8 (channels, height, width)."""
        return self.images[index]
