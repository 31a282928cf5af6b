"""The gradients of a convolution in floats, by ways that are right and fast."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def used_by(conv: nn.Conv2d, inputs: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """Return the inputs that a convolution uses, and its stride over them.

    A strided 1x1 convolution skips inputs. oneDNN's gradient of it, channels last, is wrong without
    AVX-512 and writes beyond its memory (torch 2.13, oneDNN issue 6035): it never strides here.
    """
    stride = conv.stride[0]
    if conv.kernel_size != (1, 1) or stride == 1:
        return inputs, conv.stride
    return inputs[:, :, ::stride, ::stride], (1, 1)


def gradients(
    conv: nn.Conv2d,
    grad: Tensor,
    inputs: Tensor,
    values: Callable[[Tensor], Tensor],
    weight: Callable[[], Tensor],
    wanted: tuple[bool, bool],
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients with respect to inputs and weight, those that are wanted.

    grad: (batch, filters, height, width), with respect to the output. inputs: in any form; values:
    makes the values of those that are used. weight: makes the weight, which takes no memory yet
    while its gradient is found as a matrix product.
    """
    taken, stride = used_by(conv, inputs)
    used = values(taken)
    wants_inputs, wants_weight = wanted
    as_product = wants_weight and _product_is_faster(conv, grad)
    product = _product(conv, grad, used) if as_product else None
    grad_used, grad_weight, _ = torch.ops.aten.convolution_backward(
        grad,
        used,
        weight(),
        None,
        stride,
        conv.padding,
        conv.dilation,
        False,
        [0, 0],
        conv.groups,
        [wants_inputs, wants_weight and not as_product, False],
    )
    if wants_inputs and taken is not inputs:
        grad_inputs = torch.zeros_like(inputs, dtype=grad.dtype)
        used_by(conv, grad_inputs)[0].copy_(grad_used)
        grad_used = grad_inputs
    return grad_used, product if as_product else grad_weight


def _product_is_faster(conv: nn.Conv2d, grad: Tensor) -> bool:
    """Return whether one matrix product beats oneDNN: many filters over few positions.

    It takes half as long for 512 filters on 64 images of 4x4, and as long for 256 on 8x8.
    """
    positions = grad.shape[0] * grad.shape[2] * grad.shape[3]
    few = positions <= 2 * conv.out_channels
    return few and conv.groups == 1 and conv.kernel_size != (1, 1) and grad.device.type == "cpu"


def _product(conv: nn.Conv2d, grad: Tensor, inputs: Tensor) -> Tensor:
    """Return sum_p grad(p, filter) window(p, channel, i, j) over all positions p of the output."""
    size, stride, padding = conv.kernel_size[0], conv.stride[0], int(conv.padding[0])
    padded = F.pad(inputs.permute(0, 2, 3, 1), (0, 0, *[padding] * 4))
    windows = padded.unfold(1, size, stride).unfold(2, size, stride).permute(0, 1, 2, 4, 5, 3)
    by_filter = grad.permute(1, 0, 2, 3).flatten(1)
    product = by_filter @ windows.flatten(0, 2).flatten(1)
    return product.view(-1, size, size, conv.in_channels).permute(0, 3, 1, 2)
