"""Values with the gradient of another tensor."""

from typing import Any

import torch
from torch import Tensor


def straight_through(values: Tensor, gradient_of: Tensor) -> Tensor:
    """Return values whose gradient goes, unchanged, to a tensor of the same shape."""
    output: Tensor = _StraightThrough.apply(gradient_of, values)  # type: ignore[no-untyped-call]
    return output


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, _gradient_of: Tensor, values: Tensor) -> Tensor:
        return values.view_as(values)

    @staticmethod
    def backward(_ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return grads[0], None
