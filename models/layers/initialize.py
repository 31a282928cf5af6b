"""Initial values of the weights."""

from typing import Literal

from torch import nn

InitWeights = Literal["torch", "kaiming_fan_out"]


def initialize(network: nn.Module, how: InitWeights) -> None:
    """Draw the weights of a freshly built network.

    torch: the layers keep what they were built with, torch's own default (uniform over fan-in).
    kaiming_fan_out: convolutions from Kaiming's normal distribution over fan-out (He et al.,
        Delving Deep into Rectifiers, Eq. 14), as torchvision does; linear layers and batch norm
        keep torch's own, as in torchvision's ResNet.

    Quantized weights keep their initial scale, so the choice matters beyond the start. Weights on
    torch's meta device have no values; to draw them, torch would load its compiler, for seconds.
    """
    if how == "torch":
        return
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
