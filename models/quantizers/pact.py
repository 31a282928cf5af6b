"""Activations clipped at a learned level (PACT; CoQuant's and AdaBits' activation quantizer).

unsigned   y = alpha round(n clip(A, 0, alpha) / alpha) / n                     n = 2^b - 1
signed     u = (clip(A, -alpha, alpha) / alpha + 1) / 2,   y = alpha (2 round(n u) / n - 1)

Signed inputs may have a clip level for each side as well (two_sided).
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn

from models.precision import FLOAT, LayerPrecision, Precision
from models.quantized import Codes, decoded, stand_in_for
from models.quantizers.base import ActivationQuantizer, arithmetic_dtype, name_at
from models.quantizers.two_sided import Sides, encode_two_sided, quantize_two_sided


class PactSettings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """PACT: activations clipped at a learned level, the papers' alpha."""

    name: Literal["pact"] = "pact"
    clip_init: float = Field(
        8.0, gt=0, description="initial clip level of every layer (alpha init)"
    )
    head_clip_init: float | None = Field(
        None,
        gt=0,
        description="initial clip level of a quantized linear layer's input (AdaBits: "
        "10); that of every layer when not given",
    )
    clip_start: Literal["fixed", "data"] = Field(
        "fixed", description="clip levels start at clip_init, or at the largest input of a batch"
    )
    gradient: Literal["pact", "calibrated"] = Field(
        "pact", description="gradient of the clip level: original PACT, or calibrated (SAT)"
    )
    floor: float = Field(
        1e-3, gt=0, description="smallest clip level used; its gradient passes unchanged (alpha)"
    )
    signed_inputs: Literal["symmetric", "relu", "two_sided"] = Field(
        "symmetric",
        description="inputs that are not outputs of a ReLU: clip to [-alpha, alpha], at 0, or to "
        "[-beta, alpha] with both learned",
    )


class ClipLevels(nn.ParameterDict):
    """Clip levels (0-dim, the papers' alpha) by the label of a precision, or one for all.

    Those that start from data are 0 until then.
    """

    role: ClassVar[Literal["clip"]] = "clip"

    def __init__(self, names: Sequence[str], initial: float) -> None:
        super().__init__({name: nn.Parameter(torch.tensor(initial)) for name in names})

    def begin(self, precision: Precision, source: Precision) -> None:
        """Begin a precision's clip level as a copy of another one's; nothing if it is shared.

        In place where there is one, because the optimizer holds it.
        """
        if source.label not in self or precision.activations == FLOAT:
            return
        if precision.label in self:
            self[precision.label].detach().copy_(self[source.label])
        else:
            self[precision.label] = deepcopy(self[source.label])

    def at(self, at: LayerPrecision) -> nn.Parameter:
        """Return the clip level of a layer's precision."""
        level: nn.Parameter = self[name_at(self, at)]
        return level


class Pact(ActivationQuantizer):
    """PACT with a clip level for each precision, or one for all."""

    Settings = PactSettings
    settings: PactSettings

    def __init__(self, settings: PactSettings, names: Sequence[str], *, signed: bool) -> None:
        super().__init__(settings, names, signed=signed)
        initial = settings.clip_init if settings.clip_start == "fixed" else 0.0
        self.clip_levels = ClipLevels(names, initial)
        self.two_sided = signed and settings.signed_inputs == "two_sided"
        if self.two_sided:
            self.lower_clip_levels = ClipLevels(names, initial)

    @property
    def waits_for_data(self) -> bool:
        """Whether clip levels start from data, and one is not known yet."""
        from_data = self.settings.clip_start == "data"
        return from_data and any(level == 0 for level in self.parameters())

    @torch.no_grad()
    def start(self, inputs: Tensor, at: LayerPrecision) -> None:
        """Set the clip levels of a precision to the largest input, unless they are known."""
        upper = self.clip_levels.at(at)
        if self.settings.clip_start == "fixed" or upper != 0:
            return
        upper.copy_((inputs.abs() if self._form(at).signed else inputs).amax().clamp(min=0))
        if self.two_sided:
            self.lower_clip_levels.at(at).copy_((-inputs).amax().clamp(min=0))

    @classmethod
    def head_settings(cls, settings: PactSettings) -> PactSettings:
        """Return settings with the linear layer's initial clip level, where it has its own."""
        return settings.model_copy(
            update={"clip_init": settings.head_clip_init or settings.clip_init}
        )

    def quantize(self, inputs: Tensor, at: LayerPrecision) -> Tensor:
        """Return inputs on the 2^bits levels of [0, alpha], or of [-alpha, alpha] if signed."""
        if self.two_sided:
            return quantize_two_sided(inputs, self._sides(at), at.own.activations)
        output: Tensor = _FakeQuantize.apply(  # type: ignore[no-untyped-call]
            inputs, self.clip_levels.at(at), self._form(at)
        )
        return output

    def encode(self, inputs: Tensor, at: LayerPrecision) -> Codes:
        """Return the same levels as codes: k of alpha k / n, or alpha (2 k / n - 1) if signed."""
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        if self.two_sided:
            return encode_two_sided(inputs, self._sides(at), at)
        form, clip_level = self._form(at), self.clip_levels.at(at)
        alpha = clip_level.detach().clamp(min=form.floor)
        if torch.is_grad_enabled():
            stand_in, codes, zero = _Encode.apply(  # type: ignore[no-untyped-call]
                inputs, clip_level, form, not self.signed
            )
        else:
            stand_in, (codes, zero) = stand_in_for(inputs), _codes(inputs, alpha, form)
        alpha = alpha + zero
        step = alpha * (1 + form.signed) / form.top
        return Codes(codes, at.own.activations, step, -alpha if form.signed else None, stand_in)

    def _sides(self, at: LayerPrecision) -> Sides:
        upper, lower = self.clip_levels.at(at), self.lower_clip_levels.at(at)
        return Sides(upper, lower, self.settings.floor, self.settings.gradient == "calibrated")

    def _form(self, at: LayerPrecision) -> "_Form":
        return _Form(
            top=2**at.own.activations - 1,
            signed=self.signed and self.settings.signed_inputs == "symmetric",
            calibrated=self.settings.gradient == "calibrated",
            floor=self.settings.floor,
        )


class _Form(NamedTuple):
    """How inputs are clipped: top is n; calibrated says which gradient the clip level gets."""

    top: int
    signed: bool
    calibrated: bool
    floor: float


class _FakeQuantize(torch.autograd.Function):
    """The levels above with PACT's gradients, or those of SAT ("calibrated").

    pact         dL/dA = g [low <= A <= alpha]    dL/dalpha = sum g ([A >= alpha] - [A <= -alpha])
    calibrated   dL/dA = g [low < A < alpha]      dL/dalpha has g (y - A) / alpha inside as well

    low is 0 and the last bracket absent without sign. A clip level below the floor is used as the
    floor, and its gradient passes unchanged: weight decay could otherwise disable a layer for good.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, clip_level: Tensor, form: _Form) -> Tensor:
        alpha = clip_level.to(arithmetic_dtype(inputs)).clamp(min=form.floor)
        output = _levels(inputs.to(alpha.dtype), alpha, form)
        ctx.save_for_backward(inputs, alpha)
        ctx.form, ctx.clip_dtype = form, clip_level.dtype
        return output

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        inputs, alpha = ctx.saved_tensors
        values, form = inputs.to(alpha.dtype), ctx.form
        low = -alpha if form.signed else torch.zeros_like(alpha)
        grad_alpha = torch.where(values >= alpha, grads[0], 0).sum()
        if form.signed:
            grad_alpha -= torch.where(values <= low, grads[0], 0).sum()
        inside = (values >= low) & (values <= alpha)
        if form.calibrated:
            inside = (values > low) & (values < alpha)
            rescaled = _levels(values, alpha, form).sub_(values).div_(alpha)
            grad_alpha += torch.where(inside, grads[0] * rescaled, 0).sum()
        grad_inputs = torch.where(inside, grads[0], 0).to(inputs.dtype)
        return grad_inputs, grad_alpha.to(ctx.clip_dtype), None


class _Encode(torch.autograd.Function):
    """The codes of the levels above, and their stand-in, with the same gradients.

    Kept for the backward is one byte for each input, its place; with a calibrated gradient the
    inputs are kept as well.
    """

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, clip_level: Tensor, form: _Form, relu: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        alpha = clip_level.clamp(min=form.floor)
        codes, zero = _codes(inputs, alpha, form)
        places = _places(inputs, alpha, form, relu=relu)
        ctx.save_for_backward(places, alpha, *((inputs, codes) if form.calibrated else ()))
        ctx.form = form
        ctx.mark_non_differentiable(codes, zero)
        return stand_in_for(inputs), codes, zero

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        places, alpha, *kept = ctx.saved_tensors
        form: _Form = ctx.form
        grad_inputs = _where(places & INSIDE, grads[0])
        grad_alpha = _where(places >> 1 & 1, grads[0]).sum()
        if form.signed:
            grad_alpha -= _where(places >> 2, grads[0]).sum()
        if kept:
            inputs, codes = kept
            grad_alpha += (_slope(inputs, codes, alpha, form) * grad_inputs).sum()
        return grad_inputs, grad_alpha, None, None


INSIDE, ABOVE, BELOW = 1, 2, 4
"""Places of an input: inside the range, at its upper end or above, at its lower end or below.

With PACT's own gradient what is at an end is inside as well.
"""


def _places(inputs: Tensor, alpha: Tensor, form: _Form, *, relu: bool) -> Tensor:
    """Return the places of each input as a byte; below a range from 0 it has none."""
    above = (inputs >= alpha).view(torch.uint8)
    beyond = above if form.calibrated else (inputs > alpha).view(torch.uint8)
    if form.signed:
        below = (inputs <= -alpha).view(torch.uint8)
        under = below if form.calibrated else (inputs < -alpha).view(torch.uint8)
        inside = 1 - beyond - under
        return inside.add_(above, alpha=ABOVE).add_(below, alpha=BELOW)
    from_zero = inputs > 0 if relu or form.calibrated else inputs >= 0
    return from_zero.view(torch.uint8).sub_(beyond).add_(above, alpha=ABOVE)


def _slope(inputs: Tensor, codes: Tensor, alpha: Tensor, form: _Form) -> Tensor:
    """Return (y - A) / alpha, the calibrated derivative with respect to alpha, of inputs inside."""
    values = decoded(codes, alpha * (1 + form.signed) / form.top, None)
    values = values.sub_(alpha) if form.signed else values
    return values.sub_(inputs.clamp(-alpha, alpha)).div_(alpha)


def _codes(inputs: Tensor, alpha: Tensor, form: _Form) -> tuple[Tensor, Tensor]:
    """Return the codes of the levels above: few passes over the inputs, the same but for ties.

    What is not a number must not hide behind a code: beside them goes 0, or NaN if an input is.
    """
    if form.signed:
        unrounded = inputs.mul(form.top / (2 * alpha)).add_(form.top / 2)
    else:
        unrounded = inputs.mul(form.top / alpha)
    rounded = unrounded.clamp_(0, form.top).round_()
    return rounded.to(torch.uint8), 0 * rounded.sum()


def _levels(values: Tensor, alpha: Tensor, form: _Form) -> Tensor:
    if not form.signed:
        clipped = values.clamp(min=0).clamp_(max=alpha)
        return clipped.mul_(form.top).div_(alpha).round_().mul_(alpha).div_(form.top)
    unit = values.clamp(min=-alpha, max=alpha).div_(alpha).add_(1).div_(2)
    return unit.mul_(form.top).round_().mul_(2).div_(form.top).sub_(1).mul_(alpha)


def _where(mask: Tensor, values: Tensor) -> Tensor:
    """Return values where a mask of bytes is 1, else 0; faster than torch.where."""
    return mask.to(values.dtype).mul_(values)
