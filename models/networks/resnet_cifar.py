"""ResNets for 32x32 images: a 3x3 stem without pooling."""

from typing import Literal

from pydantic import Field

from models.layers.initialize import InitWeights
from models.networks.residual import ForSmallImages
from models.networks.resnet import BasicBlock, ResNetSettings


class SmallResNetSettings(ResNetSettings):
    """The settings of ResNets for small images."""

    init_weights: InitWeights = Field(
        "torch", description="how weights are drawn: as pytorch-cifar does, or as torchvision does"
    )


class ResNet18CifarSettings(SmallResNetSettings):
    """ResNet-18 for small images (kuangliu/pytorch-cifar's layout)."""

    name: Literal["resnet18_cifar"] = "resnet18_cifar"
    widths: tuple[int, ...] = Field((64, 128, 256, 512), description="channels of each stage")
    depths: tuple[int, ...] = Field((2, 2, 2, 2), description="blocks of each stage")


class ResNetCifarSettings(SmallResNetSettings):
    """ResNet-n for CIFAR (He et al., section 4.2): n = 6 k + 2 for k blocks in each stage.

    Shortcuts whose shape changes are 1x1 convolutions (OneWeight).
    """

    name: Literal["resnet_cifar"] = "resnet_cifar"
    widths: tuple[int, ...] = Field((16, 32, 64), description="channels of each stage")
    depths: tuple[int, ...] = Field(
        (3, 3, 3), description="blocks of each stage: 3 for ResNet-20, 4 for 26, ... 9 for 56"
    )


class ResNet18Cifar(ForSmallImages[ResNetSettings]):
    """ResNet-18 that keeps 32x32 images at full size in its first stage."""

    Settings = ResNet18CifarSettings
    block = BasicBlock


class ResNetCifar(ForSmallImages[ResNetSettings]):
    """Three narrow stages of basic blocks: ResNet-20, 26, ... 56."""

    Settings = ResNetCifarSettings
    block = BasicBlock
