"""First values of the weights."""

from torch import nn


def initialise(network: nn.Module) -> None:
    """Draw convolution weights from Kaiming's normal distribution over fan-out.

    He et al., Delving Deep into Rectifiers, Eq. 14, as torchvision's ResNet and MobileNetV2 do.
    Linear layers and batch norm keep torch's own first values, as in torchvision's ResNet.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
