"""The 1x1 convolution and batch norm of a shortcut whose shape changes."""

from torch import Tensor, nn

from models.layers.conv import QuantizedConv2d
from models.layers.factory import LayerFactory
from models.layers.norm import Norm
from models.layers.normalized import normalized
from models.precision import LayerPrecision
from models.quantized import Activations


class Shortcut(nn.ModuleList):
    """Named 0 (convolution) and 1 (batch norm), as torchvision names a downsample path."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, layers: LayerFactory
    ) -> None:
        super().__init__(
            [layers.conv(in_channels, out_channels, 1, stride), layers.norm(out_channels)]
        )

    def forward(self, inputs: Activations, at: LayerPrecision) -> Tensor:
        """Map quantized inputs (batch, in_channels, ...) to (batch, out_channels, ...)."""
        conv, norm = self
        assert isinstance(conv, QuantizedConv2d)
        assert isinstance(norm, Norm)
        return normalized(conv, norm, inputs, at)
