"""A quantized convolution and the batch norm that follows it."""

import torch
from torch import Tensor, nn

from models.layers.conv import QuantizedConv2d
from models.layers.integer import Affine
from models.layers.norm import Norm
from models.precision import LayerPrecision
from models.quantized import Activations, Codes


def normalized(
    conv: QuantizedConv2d, norm: Norm, inputs: Activations, at: LayerPrecision
) -> Tensor:
    """Return norm(conv(inputs)): (batch, filters, height, width).

    Where no gradient is wanted, running statistics are part of the scale of an integer convolution.
    """
    chosen = norm.at(at)
    if torch.is_grad_enabled() or chosen.training or not isinstance(inputs, Codes):
        output: Tensor = norm(conv(inputs, at), at)
        return output
    return conv.followed(inputs, at, running_affine(chosen))


def running_affine(norm: nn.BatchNorm2d) -> Affine:
    """Return what batch norm is with its running statistics."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return Affine(scale, norm.bias - norm.running_mean * scale)
