"""The frame of every image network: a first convolution, blocks, a pool and a linear layer."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from torch import Tensor, nn
from torch.nn import functional as F

from models.layers.factory import LayerFactory
from models.layers.initialize import initialize
from models.layers.normalize import Normalize
from models.networks.base import AnyBitNetwork, list_layers
from models.networks.settings import NetworkSettings
from models.precision import Assignment, LayerPrecision

S = TypeVar("S", bound=NetworkSettings)


class StagedNetwork(AnyBitNetwork, Generic[S]):
    """Normalization, stem, blocks, global average pool, linear layer.

    outside: quantized convolutions between the blocks and the pool, which are never swapped.
    """

    outside: tuple[str, ...] = ()

    def __init__(
        self, settings: S, layers: LayerFactory, normalize: Normalize, num_classes: int
    ) -> None:
        super().__init__(layers.precisions)
        self.normalize = normalize
        self.conv1 = self.stem_conv(settings, layers)
        self.bn1 = layers.stem_norm(self.conv1.out_channels, shared=settings.stem_bn_shared)
        channels = self.add_blocks(self.conv1.out_channels, settings, layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(settings.dropout)
        self.fc = layers.head(channels, num_classes, signed=self.signed_features)
        self._layers = list_layers(self.blocks(), self.outside)
        initialize(self, settings.init_weights)

    @abstractmethod
    def stem_conv(self, settings: S, layers: LayerFactory) -> nn.Conv2d:
        """Return the first convolution."""

    @abstractmethod
    def add_blocks(self, channels: int, settings: S, layers: LayerFactory) -> int:
        """Add what stands between stem and pool; return how many channels come out of it.

        channels: how many the stem has.
        """

    @abstractmethod
    def blocks(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield the blocks in order, each with its name."""

    @property
    def signed_features(self) -> bool:
        """Whether the features that are pooled are no outputs of a ReLU."""
        return False

    def end_stem(self, features: Tensor) -> Tensor:
        """Compute what follows the first batch norm; nothing by default."""
        return features

    def end(self, features: Tensor, at: Sequence[LayerPrecision]) -> Tensor:
        """Compute what stands between blocks and pool: a ReLU by default.

        at: one for each convolution that is outside the blocks.
        """
        return F.relu(features)

    @property
    def stem_norm(self) -> nn.Module:
        """The batch norm behind the first convolution."""
        return self.bn1

    def stem(self, inputs: Tensor) -> Tensor:
        """Run images (batch, 3, height, width) to what all points have in common."""
        features: Tensor = self.conv1(self.normalize(inputs, self.conv1.weight.dtype))
        return self.end_stem(self.bn1(features)) if self.shares_stem_norm else features

    def from_stem(self, features: Tensor, assignment: Assignment) -> Tensor:
        """Run what `stem` returns to logits (batch, classes)."""
        outside = LayerPrecision(assignment.outside, assignment.outside)
        if not self.shares_stem_norm:
            features = self.end_stem(self.bn1(features, outside))
        at = iter(self.layer_precisions(assignment))
        for _, block in self.blocks():
            count = len(block.main) + (block.shortcut_layer is not None)  # type: ignore[arg-type]
            features = block(features, [next(at) for _ in range(count)])
        pooled = self.avgpool(self.end(features, list(at))).flatten(1)
        logits: Tensor = self.fc(self.dropout(pooled), outside)
        return logits
