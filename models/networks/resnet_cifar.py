"""ResNet-18 for 32x32 images: a 3x3 stem without pooling (kuangliu/pytorch-cifar's layout)."""

from typing import Literal

from pydantic import Field
from torch import nn

from models.layers.factory import LayerFactory
from models.layers.initialize import InitWeights
from models.networks.resnet import BasicBlock, ResNet, ResNetSettings


class ResNet18CifarSettings(ResNetSettings):
    """ResNet-18 for small images."""

    name: Literal["resnet18_cifar"] = "resnet18_cifar"
    widths: tuple[int, ...] = Field((64, 128, 256, 512), description="channels of each stage")
    depths: tuple[int, ...] = Field((2, 2, 2, 2), description="blocks of each stage")
    init_weights: InitWeights = Field(
        "torch", description="how weights are drawn: as pytorch-cifar does, or as torchvision does"
    )


class ResNet18Cifar(ResNet):
    """ResNet-18 that keeps 32x32 images at full size in its first stage."""

    Settings = ResNet18CifarSettings
    block = BasicBlock

    def stem_conv(self, width: int, layers: LayerFactory) -> nn.Conv2d:
        """The first convolution."""
        return layers.stem(width, 3)

    def stem_pool(self) -> nn.Module:
        """Nothing: small images keep their size."""
        return nn.Identity()
