"""Low bit-widths rounded from the stored integers (Double Rounding).

Huang et al., Nearly Lossless Adaptive Bit Switching, 2025. With one learned step s of each layer,
b1 the bit-width of the stored codes, d = 2^(b1 - b):

    H      = clamp(round(W / s), -2^(b1-1), 2^(b1-1) - 1)
    code_b = clamp(round(H / d), -2^(b-1), 2^(b-1) - 1)          W_b = s d code_b

Everything follows from H. Rounding again, instead of dropping bits, keeps levels around zero; the
second clamp is needed where H / d rounds up to 2^(b-1).

Ours: ties go to even numbers, both times. The gradients are LSQ's: rounding is passed straight
through, and each clamp cuts what lies beyond its last level, also what is rounded to it: there
neither the weight nor, beyond the level itself, the step gets one. The step's is scaled by 1 /
sqrt(N (2^(b1-1) - 1)), as LSQ would at b1 bits, for all bit-widths. The step starts so that d s is
LSQ's first step at the lowest of them: LSQ's at 8 bits would leave 2-bit weights all zero.
"""

from collections.abc import Collection, Sequence
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from models.precision import Precision
from models.quantized import stand_in_for
from models.quantizers.base import Levels, WeightQuantizer, arithmetic_dtype
from models.quantizers.learned_step import largest_multiple, used_step


class DoubleRoundingSettings(BaseModel, frozen=True, extra="forbid"):
    """The weight quantizer of Double Rounding."""

    name: Literal["double_rounding"] = "double_rounding"


class StoredStep(nn.ParameterDict):
    """The one step (0-dim), named by the bit-width of the stored codes: "8bit"."""

    role: ClassVar[Literal["step"]] = "step"

    @staticmethod
    def ratio(precision: Precision, source: Precision) -> float:
        """Return the factor with which codes of other bits have the levels s d of a source's."""
        return float(2.0 ** (source.weights - precision.weights))


class DoubleRoundingWeight(WeightQuantizer):
    """Stores signed codes of b1 bits; lower ones are rounded from them."""

    Settings = DoubleRoundingSettings
    settings: DoubleRoundingSettings

    def __init__(self, settings: Any, bit_widths: Sequence[int], code_bits: int) -> None:
        super().__init__(settings, bit_widths, code_bits)
        self._lowest = min(bit_widths, default=code_bits)
        self._name = f"{code_bits}bit"
        self.steps = StoredStep({self._name: nn.Parameter(torch.ones(()))} if bit_widths else {})

    @property
    def origin(self) -> int:
        """The bit-width of the stored codes, which are rounded again (b1)."""
        return self.code_bits

    @property
    def nested(self) -> bool:
        """Whether low bit-widths follow from the stored codes: they do."""
        return True

    @torch.no_grad()
    def start(self, weight: Tensor, keep: Collection[int] = ()) -> None:
        """Set d s to 2 mean|W| / sqrt(2^(b-1) - 1) for the lowest bit-width b."""
        if keep:
            return
        scale = 2 ** (self.code_bits - self._lowest) * largest_multiple(self._lowest) ** 0.5
        for step in self.steps.values():
            step.copy_(2 * weight.abs().mean() / scale)

    def share(self, weight: Tensor) -> Tensor:
        """Return H, int8."""
        values = weight.detach().to(arithmetic_dtype(weight))
        return _stored(values / self._step(values), self.code_bits).to(torch.int8)

    def levels(self, weight: Tensor, bits: int) -> Levels:
        """Return code_b + 2^(b-1), its gain s d and its offset -s d 2^(b-1)."""
        half, dropped = 2 ** (bits - 1), 2 ** (self.code_bits - bits)
        codes = _lower(self.shared(weight).float(), bits, dropped).add_(half)
        # A weight that is not a finite number must not hide behind an integer code.
        finite = 1 + 0 * weight.detach().abs().amax().double()
        gain = self._step(weight.to(arithmetic_dtype(weight))).double() * dropped * finite
        return Levels(codes.to(torch.uint8), gain, -gain * half)

    def forward(self, weight: Tensor, bits: int) -> Tensor:
        """Return W_b with the gradients above for the weight and for the step."""
        values = self.levels(weight, bits).values(arithmetic_dtype(weight))
        return self._attach(values, weight, bits)

    def stand_in(self, weight: Tensor, bits: int) -> Tensor:
        """Return a tensor without memory, with the gradient of `forward`."""
        return self._attach(stand_in_for(weight), weight, bits)

    def _attach(self, values: Tensor, weight: Tensor, bits: int) -> Tensor:
        output: Tensor = _RoundedTwice.apply(  # type: ignore[no-untyped-call]
            weight, self.steps[self._name], values, bits, self.code_bits
        )
        return output

    def _step(self, like: Tensor) -> Tensor:
        """Return the step that is used, without gradient."""
        return used_step(self.steps[self._name].detach().to(like.dtype))


def _stored(ratio: Tensor, code_bits: int) -> Tensor:
    """Return H of W / s."""
    half = 2 ** (code_bits - 1)
    return ratio.round().clamp_(-half, half - 1)


def _lower(stored: Tensor, bits: int, dropped: int) -> Tensor:
    """Return code_b of H. dropped: d."""
    half = 2 ** (bits - 1)
    return (stored / dropped).round_().clamp_(-half, half - 1)


class _RoundedTwice(torch.autograd.Function):
    """The values; with v = W / s, inside both clamps dW_b/dW = 1 and dW_b/ds = d code_b - v.

    Outside these are 0 and d code_b. The step's gradient is scaled as said above.
    """

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, step: Tensor, values: Tensor, bits: int, code_bits: int
    ) -> Tensor:
        ctx.save_for_backward(weight, step)
        ctx.bits, ctx.code_bits = bits, code_bits
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        weight, step = ctx.saved_tensors
        values = weight.to(arithmetic_dtype(weight))
        ratio = values / used_step(step.to(values.dtype))
        dropped, half = 2 ** (ctx.code_bits - ctx.bits), 2 ** (ctx.code_bits - 1)
        stored = _stored(ratio, ctx.code_bits)
        inside = (ratio >= -half) & (ratio <= half - 1) & (stored <= half - dropped)
        grad_weight = torch.where(inside, grads[0], 0).to(weight.dtype)
        multiples = _lower(stored, ctx.bits, dropped).mul_(dropped)
        slope = torch.where(inside, multiples - ratio, multiples)
        scale = (weight.numel() * largest_multiple(ctx.code_bits)) ** -0.5
        grad_step = scale * (grads[0] * slope).sum() * torch.where(step < 0, -1.0, 1.0)
        return grad_weight, grad_step.to(step.dtype), None, None, None
