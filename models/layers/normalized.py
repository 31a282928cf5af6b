"""A quantized convolution and the batch norm that follows it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from models.layers.conv import QuantizedConv2d
from models.layers.integer import Affine
from models.layers.norm import Norm
from models.precision import LayerPrecision
from models.quantized import Activations, Codes

LARGE_OUTPUT = 16 * 2**20
"""Bytes. Many smaller ones are kept for the sake of speed."""


def normalized(
    conv: QuantizedConv2d, norm: Norm, inputs: Activations, at: LayerPrecision
) -> Tensor:
    """Return norm(conv(inputs)): (batch, filters, height, width).

    Where no gradient is wanted, running statistics are part of the scale of an integer convolution.
    Otherwise batch norm's backward needs the output of the convolution, the largest part of what a
    pass would keep: a large one is computed again, to the last bit, where that is cheap.
    """
    chosen = norm.at(at)
    if isinstance(inputs, Codes) and not (torch.is_grad_enabled() or chosen.training):
        return conv.followed(inputs, at, running_affine(chosen))
    convolved = conv(inputs, at)
    with _made_again(convolved, conv, inputs, at):
        output: Tensor = norm(convolved, at)
    return output


@contextmanager
def _made_again(
    output: Tensor, conv: QuantizedConv2d, inputs: Activations, at: LayerPrecision
) -> Iterator[None]:
    """Within, autograd keeps how to make a large and cheap output instead of the output."""
    large = output.nbytes >= LARGE_OUTPUT
    if not (large and isinstance(inputs, Codes) and conv.cheap(at)):
        yield
        return
    place = output.data_ptr()  # the tensor itself would be kept with the hook
    bits = at.own.weights
    make = partial(conv.output, inputs, bits, conv.levels(bits))

    def keep(tensor: Tensor) -> Tensor | Callable[[], Tensor]:
        return make if tensor.data_ptr() == place else tensor

    def get(kept: Tensor | Callable[[], Tensor]) -> Tensor:
        return kept if isinstance(kept, Tensor) else kept()

    with saved_tensors_hooks(keep, get):
        yield


def running_affine(norm: nn.BatchNorm2d) -> Affine:
    """Return what batch norm is with its running statistics."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return Affine(scale, norm.bias - norm.running_mean * scale)
