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
        conv, norm = self[0], self[1]
        assert isinstance(conv, QuantizedConv2d)
        assert isinstance(norm, Norm)
        return normalized(conv, norm, inputs, at)


class QuantizingShortcut(Shortcut):
    """A shortcut that quantizes its inputs itself, at clip levels of its own (`act`).

    signed: the inputs have not been through a ReLU, nor are to go through one.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        layers: LayerFactory,
        *,
        signed: bool,
    ) -> None:
        super().__init__(in_channels, out_channels, stride, layers)
        self.act = layers.activation(signed=signed)

    def forward(self, inputs: Tensor, at: LayerPrecision) -> Tensor:  # type: ignore[override]
        """Map inputs that are not quantized."""
        return super().forward(self.act(inputs, at), at)


class PooledShortcut(QuantizingShortcut):
    """Averages over the stride, then quantizes and convolves every place (Bit-Mixer).

    At an odd height or width the last average is over the places that are there.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, layers: LayerFactory
    ) -> None:
        super().__init__(in_channels, out_channels, 1, layers, signed=True)
        self.pool = nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False)

    def forward(self, inputs: Tensor, at: LayerPrecision) -> Tensor:  # type: ignore[override]
        """Map inputs (batch, in_channels, ...) to (batch, out_channels, ...)."""
        return super().forward(self.pool(inputs), at)
