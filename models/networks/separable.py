"""Blocks with a depth-wise convolution, as MobileNets are made of."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from models.layers.factory import LayerFactory
from models.layers.normalized import normalized
from models.layers.shortcut import Shortcut
from models.networks.residual import BlockShape
from models.precision import LayerPrecision


class SeparableBlock(nn.Module):
    """Convolve each channel (3x3), then mix the channels (1x1); what follows applies the ReLU.

    signed: the input is another block's projection, not the output of a ReLU. residual: the input
    is added where the shape stays.
    """

    main = ("conv1", "conv2")
    shortcut_layer = None

    def __init__(
        self, shape: BlockShape, layers: LayerFactory, *, signed: bool, residual: bool
    ) -> None:
        super().__init__()
        ins, out = shape.in_channels, shape.out_channels
        self.has_residual = residual and shape.keeps_shape
        self.act1 = layers.activation(signed=signed)
        self.conv1 = layers.conv(ins, ins, 3, shape.stride, groups=ins)
        self.bn1 = layers.norm(ins)
        self.act2 = layers.activation()
        self.conv2 = layers.conv(ins, out, 1)
        self.bn2 = layers.norm(out)

    def forward(self, inputs: Tensor, at: Sequence[LayerPrecision]) -> Tensor:
        """at: one for each of the two layers."""
        first, second = at
        output = normalized(self.conv1, self.bn1, self.act1(inputs, first), first)
        output = normalized(self.conv2, self.bn2, self.act2(output, second), second)
        if not self.has_residual:
            return output
        return output + (inputs if self.act1.signed else F.relu(inputs))


class InvertedResidual(nn.Module):
    """Expand (1x1), convolve each channel (3x3), project (1x1, no activation).

    signed: the input is another block's projection, not the output of a ReLU. converts: a block of
    stride 1 whose channels change has a 1x1 convolution as shortcut, which shares the quantizer of
    the block's input.
    """

    main = ("conv1", "conv2", "conv3")

    def __init__(
        self, shape: BlockShape, layers: LayerFactory, *, signed: bool, converts: bool
    ) -> None:
        super().__init__()
        ins, width, out, stride = shape
        self.has_residual = shape.keeps_shape or (converts and stride == 1)
        self.act1 = layers.activation(signed=signed)
        self.conv1 = layers.conv(ins, width, 1)
        self.bn1 = layers.norm(width)
        self.act2 = layers.activation()
        self.conv2 = layers.conv(width, width, 3, stride, groups=width)
        self.bn2 = layers.norm(width)
        self.act3 = layers.activation()
        self.conv3 = layers.conv(width, out, 1)
        self.bn3 = layers.norm(out)
        changes = self.has_residual and not shape.keeps_shape
        self.shortcut = Shortcut(ins, out, 1, layers) if changes else None

    @property
    def shortcut_layer(self) -> str | None:
        """The name of the shortcut's convolution, if it has one."""
        return None if self.shortcut is None else "shortcut.0"

    def forward(self, inputs: Tensor, at: Sequence[LayerPrecision]) -> Tensor:
        """at: one for each of the three layers, and one for the shortcut's, if it has one."""
        first, second, third = at[:3]
        quantized = self.act1(inputs, first)
        output = normalized(self.conv1, self.bn1, quantized, first)
        output = normalized(self.conv2, self.bn2, self.act2(output, second), second)
        projected = normalized(self.conv3, self.bn3, self.act3(output, third), third)
        if not self.has_residual:
            return projected
        if self.shortcut is None:
            return projected + (inputs if self.act1.signed else F.relu(inputs))
        own = at[-1]
        if own.own != first.own:
            quantized = self.act1(inputs, own)
        block: Tensor = projected + self.shortcut(quantized, own)
        return block
