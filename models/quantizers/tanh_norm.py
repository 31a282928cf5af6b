"""Map weights into [0,1] by tanh and its maximum (DoReFa's normalization), and the gradient back.

Shared by the weight quantizers of CoQuant (Eq. 1, 3) and AdaBits (Eq. 2-4).
"""

from typing import Any

import torch
from torch import Tensor

from models.quantizers.base import arithmetic_dtype


class NormalizedWeight:
    """x = tanh(W) / (2 max|tanh W|) + 1/2, without gradient; x = 1/2 where all weights are 0.

    The maximum is that of absolute values: a signed one, as CoQuant prints it, lets x leave [0,1].
    """

    def __init__(self, weight: Tensor) -> None:
        self.tanh = weight.detach().to(arithmetic_dtype(weight)).tanh()
        self.maximum = self.tanh.abs().amax()
        # Dividing by infinity gives the 1/2 and the gradient 0 of an all-zero tensor.
        self.divisor = torch.where(self.maximum == 0, torch.inf, self.maximum)

    def unit(self) -> Tensor:
        """Return x in [0,1]."""
        return (self.tanh / (2 * self.divisor)).add_(0.5)

    def straight_through(
        self, weight: Tensor, values: Tensor, slope: Tensor, *, max_grad: bool
    ) -> Tensor:
        """Return `values` with the gradient dL/dx = slope * dL/dvalues carried on to weight.

        slope: 0-dim. max_grad: differentiate through the maximum as well.
        """
        output: Tensor = _StraightThrough.apply(  # type: ignore[no-untyped-call]
            weight, values, self.tanh, self.divisor, slope, max_grad
        )
        return output


class _StraightThrough(torch.autograd.Function):
    """Identity from x to the values; the exact derivative of the normalization from W to x."""

    @staticmethod
    def forward(
        ctx: Any,
        weight: Tensor,
        values: Tensor,
        tanh: Tensor,
        divisor: Tensor,
        slope: Tensor,
        max_grad: bool,
    ) -> Tensor:
        ctx.save_for_backward(tanh, divisor, slope)
        ctx.max_grad = max_grad
        ctx.weight_dtype = weight.dtype
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        tanh, divisor, slope = ctx.saved_tensors
        grad_x = grads[0].to(tanh.dtype) * slope
        grad_tanh = grad_x / (2 * divisor)
        if ctx.max_grad:
            at_maximum = tanh.abs() == divisor
            pull = (grad_x * tanh).sum() / (2 * divisor.square())
            share = pull / at_maximum.sum().clamp(min=1)
            grad_tanh -= torch.where(at_maximum, tanh.sign() * share, 0)
        grad_weight = grad_tanh * (1 - tanh.square())
        return grad_weight.to(ctx.weight_dtype), None, None, None, None, None
