"""Rounding whose gradient is 1, for formulas written out and differentiated by autograd."""

from collections.abc import Callable

import torch
from torch import Tensor


def straight_through(rounding: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    return values + (rounding(values) - values).detach()


def learned_step(
    values: Tensor,
    step: Tensor,
    bits: int,
    rounding: Callable[[Tensor], Tensor] = torch.floor,
    low: int | None = None,
) -> Tensor:
    """Bit-Mixer Eq. 1-2; the gradient of the step is not scaled."""
    most = max(1, 2 ** (bits - 1) - 1)
    ratio = (values / step).clamp(-most if low is None else low, most)
    if bits == 1:
        return step * straight_through(lambda v: torch.where(v < 0, -1.0, 1.0).to(v.dtype), ratio)
    return step * straight_through(rounding, ratio)
