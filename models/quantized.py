"""Quantized activations as codes: whole numbers, a step and an offset instead of floats."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Codes:
    """Activations (batch, channels, height, width): value = step * code + offset.

    codes: uint8 in [0, 2^bits - 1], channels last.
    step: 0-dim, without gradient. offset: 0-dim as well, None where code 0 is the value 0.
    stand_in: a tensor in their shape and without memory, whose gradient is that of the values.
    """

    codes: Tensor
    bits: int
    step: Tensor
    offset: Tensor | None
    stand_in: Tensor

    def values(self) -> Tensor:
        """Return the values, float32, differentiable."""
        output: Tensor = _Values.apply(  # type: ignore[no-untyped-call]
            self.stand_in, self.codes, self.step, self.offset
        )
        return output


Activations = Tensor | Codes
"""The input of a quantized layer: floats, on the levels of a precision or not, or codes."""


def values_of(inputs: Activations) -> Tensor:
    """Return the values of activations, differentiable."""
    return inputs.values() if isinstance(inputs, Codes) else inputs


def as_codes(
    whole: Tensor, bits: int, step: Tensor, offset: Tensor | None, stand_in: Tensor
) -> Codes:
    """Return whole numbers in [0, 2^bits - 1], channels last, as codes.

    What is not a number must not hide behind a code: the step becomes NaN.
    """
    return Codes(whole.to(torch.uint8), bits, step + 0 * whole.sum(), offset, stand_in)


def decoded(codes: Tensor, step: Tensor, offset: Tensor | None) -> Tensor:
    """Return step * codes + offset, in the type of the step."""
    values = codes.to(step.dtype).mul_(step)
    return values if offset is None else values.add_(offset)


def stand_in_for(tensor: Tensor) -> Tensor:
    """Return zeros in the shape and type of a tensor that take the memory of one number."""
    return tensor.new_zeros(()).expand(tensor.shape)


class _Values(torch.autograd.Function):
    """The values of codes; the gradient goes to the stand-in as it is."""

    @staticmethod
    def forward(
        _ctx: Any, _stand_in: Tensor, codes: Tensor, step: Tensor, offset: Tensor | None
    ) -> Tensor:
        return decoded(codes, step, offset)

    @staticmethod
    def backward(_ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return grads[0], None, None, None
