"""Activations clipped at a learned level (PACT; CoQuant's and AdaBits' activation quantizer).

unsigned   y = alpha round(n clip(A, 0, alpha) / alpha) / n                     n = 2^b - 1
signed     u = (clip(A, -alpha, alpha) / alpha + 1) / 2,   y = alpha (2 round(n u) / n - 1)
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from models.precision import FLOAT, LayerPrecision, Precision
from models.quantizers.base import ActivationQuantizer, arithmetic_dtype

SHARED = "shared"
"""The name of the one clip level of all precisions."""


class PactSettings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """PACT: activations clipped at a learned level, the papers' alpha."""

    name: Literal["pact"] = "pact"
    clip_init: float = Field(
        8.0, gt=0, description="initial clip level of every layer (alpha init)"
    )
    gradient: Literal["pact", "calibrated"] = Field(
        "pact", description="gradient of the clip level: original PACT, or calibrated (SAT)"
    )
    floor: float = Field(
        1e-3, gt=0, description="smallest clip level used; its gradient passes unchanged (alpha)"
    )
    signed_inputs: Literal["symmetric", "relu"] = Field(
        "symmetric",
        description="inputs that are not outputs of a ReLU: clip to [-alpha, alpha], or at 0",
    )


class ClipLevels(nn.ParameterDict):
    """Clip levels (0-dim, the papers' alpha) by the label of a precision, or one for all."""

    role: ClassVar[Literal["clip"]] = "clip"

    def __init__(self, names: Sequence[str], initial: float) -> None:
        super().__init__({name: nn.Parameter(torch.tensor(initial)) for name in names})

    def begin(self, precision: Precision, source: Precision) -> None:
        """Begin a clip level for a precision, a copy of another one's; nothing if it is shared."""
        if source.label in self and precision.activations != FLOAT:
            self[precision.label] = deepcopy(self[source.label])

    def at(self, at: LayerPrecision) -> nn.Parameter:
        """Return the clip level of a layer's precision."""
        level: nn.Parameter = self[SHARED if SHARED in self else at.own.label]
        return level


class Pact(ActivationQuantizer):
    """PACT with a clip level for each precision, or one for all."""

    Settings = PactSettings
    settings: PactSettings

    def __init__(self, settings: PactSettings, names: Sequence[str], *, signed: bool) -> None:
        super().__init__(settings, names, signed=signed)
        self.clip_levels = ClipLevels(names, settings.clip_init)

    def level_step(self, at: LayerPrecision) -> Tensor:
        """Return alpha / n: levels are its multiples 0 ... n, or -n, -n + 2 ... n if signed."""
        alpha = self.clip_levels.at(at).detach().clamp(min=self.settings.floor)
        step: Tensor = alpha / (2**at.own.activations - 1)
        return step

    def quantize(self, inputs: Tensor, at: LayerPrecision) -> Tensor:
        """Return inputs on the 2^bits levels of [0, alpha], or of [-alpha, alpha] if signed."""
        output: Tensor = _FakeQuantize.apply(  # type: ignore[no-untyped-call]
            inputs,
            self.clip_levels.at(at),
            2**at.own.activations - 1,
            self.signed and self.settings.signed_inputs == "symmetric",
            self.settings.gradient == "calibrated",
            self.settings.floor,
        )
        return output


class _FakeQuantize(torch.autograd.Function):
    """The levels above with PACT's gradients, or those of SAT ("calibrated").

    pact         dL/dA = g [low <= A <= alpha]    dL/dalpha = sum g ([A >= alpha] - [A <= -alpha])
    calibrated   dL/dA = g [low < A < alpha]      dL/dalpha has g (y - A) / alpha inside as well

    low is 0 and the last bracket absent without sign. A clip level below the floor is used as the
    floor, and its gradient passes unchanged: weight decay could otherwise disable a layer for good.
    """

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        clip_level: Tensor,
        top: int,
        signed: bool,
        calibrated: bool,
        floor: float,
    ) -> Tensor:
        alpha = clip_level.to(arithmetic_dtype(inputs)).clamp(min=floor)
        output = _levels(inputs.to(alpha.dtype), alpha, top, signed=signed)
        ctx.save_for_backward(inputs, alpha)
        ctx.top, ctx.signed, ctx.calibrated = top, signed, calibrated
        ctx.clip_dtype = clip_level.dtype
        return output

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        inputs, alpha = ctx.saved_tensors
        values = inputs.to(alpha.dtype)
        low = -alpha if ctx.signed else torch.zeros_like(alpha)
        grad_alpha = torch.where(values >= alpha, grads[0], 0).sum()
        if ctx.signed:
            grad_alpha -= torch.where(values <= low, grads[0], 0).sum()
        inside = (values >= low) & (values <= alpha)
        if ctx.calibrated:
            inside = (values > low) & (values < alpha)
            rescaled = _levels(values, alpha, ctx.top, signed=ctx.signed).sub_(values).div_(alpha)
            grad_alpha += torch.where(inside, grads[0] * rescaled, 0).sum()
        grad_inputs = torch.where(inside, grads[0], 0).to(inputs.dtype)
        return grad_inputs, grad_alpha.to(ctx.clip_dtype), None, None, None, None


def _levels(values: Tensor, alpha: Tensor, top: int, *, signed: bool) -> Tensor:
    if not signed:
        clipped = values.clamp(min=0).clamp_(max=alpha)
        return clipped.mul_(top).div_(alpha).round_().mul_(alpha).div_(top)
    unit = values.clamp(min=-alpha, max=alpha).div_(alpha).add_(1).div_(2)
    return unit.mul_(top).round_().mul_(2).div_(top).sub_(1).mul_(alpha)
