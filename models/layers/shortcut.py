"""The 1x1 convolution and batch norm of a shortcut whose shape changes."""

from torch import Tensor, nn

from models.layers.factory import LayerFactory
from models.precision import LayerPrecision


class Shortcut(nn.ModuleList):
    """Named 0 (convolution) and 1 (batch norm), as torchvision names a downsample path."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, layers: LayerFactory
    ) -> None:
        super().__init__(
            [layers.conv(in_channels, out_channels, 1, stride), layers.norm(out_channels)]
        )

    def forward(self, inputs: Tensor, at: LayerPrecision, step: Tensor | None) -> Tensor:
        """Map quantized inputs (batch, in_channels, ...) to (batch, out_channels, ...).

        step: of which the inputs are whole multiples, None for float activations.
        """
        output: Tensor = self[1](self[0](inputs, at, step), at)
        return output
