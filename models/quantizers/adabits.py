"""AdaBits' weights: tanh-normalized, rounded or rounded down (AdaBits Eq. 2-4), and rescaled.

    original   q = round((2^b - 1) x) / (2^b - 1)                 W_b = 2 q - 1
    modified   q = min(floor(2^b x), 2^b - 1) / 2^b
    centered   q = (min(floor(2^b x), 2^b - 1) + 1/2) / 2^b

"centered" came later, from the same authors: its levels have mean zero, and it suits few bits
better. Rounding down, lower bit-widths are the stored codes with bits dropped (Theorem 1), at
x = 1 only thanks to the minimum. The gradient of x is 2 dL/dW_b everywhere, there as well.

Layers without batch norm behind them are rescaled (Eq. 1, from scale-adjusted training):

    W*_b = W_b / sqrt(n Var[W_b])         n outputs; unbiased variance; the scale is a constant

Ours: the same in training and in evaluation, where the authors' code divides the bias instead, and
a scale of 1 where all weights are equal.
"""

from typing import Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor

from models.precision import FLOAT
from models.quantizers.base import Levels, arithmetic_dtype
from models.quantizers.dorefa import rounded_codes
from models.quantizers.straight_through import straight_through
from models.quantizers.tanh_norm import NormalizedWeight, NormalizingQuantizer


class AdaBitsSettings(BaseModel, frozen=True, extra="forbid"):
    """AdaBits' weight quantizer."""

    name: Literal["adabits"] = "adabits"
    scheme: Literal["original", "modified", "centered"] = Field(
        "modified", description="levels: rounded (AdaBits Eq. 2), rounded down (Eq. 3), or centered"
    )
    norm_max_grad: bool = Field(
        True, description="gradient flows through max|tanh W|, as in DoReFa's and AdaBits' code"
    )
    rescale: Literal["none", "head", "all"] = Field(
        "head",
        description="weights divided by sqrt(n Var[W]) (AdaBits Eq. 1): a linear layer's; "
        "all: convolutions' as well, with n = filters * k * k",
    )
    clamp_float: bool = Field(
        False, description="float weights are tanh(W) / max|tanh W|, from which AdaBits starts"
    )


class AdaBitsWeight(NormalizingQuantizer):
    """Rounds the normalized weight, down unless the scheme is the original one; rescales it."""

    Settings = AdaBitsSettings
    settings: AdaBitsSettings

    @classmethod
    def changes_float(cls, settings: AdaBitsSettings) -> bool:
        """Return whether float weights are clamped."""
        return settings.clamp_float

    @property
    def nested(self) -> bool:
        """Whether levels are rounded down."""
        return self.settings.scheme != "original"

    def share(self, weight: Tensor) -> NormalizedWeight:
        """Return the normalized weight."""
        return NormalizedWeight(weight)

    def normalized(self, weight: Tensor) -> NormalizedWeight:
        """Return the normalized weight."""
        normalized: NormalizedWeight = self.shared(weight)
        return normalized

    def levels(self, weight: Tensor, bits: int) -> Levels:
        """Return the codes of x; W*_b = s (2 (code + c) / n - 1) has gain 2 s / n.

        n is 2^b - 1 for the original scheme and else 2^b; c is 1/2 if centered and else 0.
        """
        return self._levels(weight, bits, self._scale(weight, bits))

    def stand_in(self, weight: Tensor, bits: int) -> Tensor:
        """Return a tensor whose gradient passes rounding and minimum unchanged, times the scale."""
        stand_in = super().stand_in(weight, bits)
        if not self._rescales(weight):
            return stand_in
        return stand_in * self._scale(weight, bits).to(stand_in.dtype)

    def float_weight(self, weight: Tensor) -> Tensor:
        """Return tanh(W) / max|tanh W|, rescaled as quantized weights are, if that is wanted."""
        if not self.settings.clamp_float:
            return weight
        scale = self._scale(weight, FLOAT).to(arithmetic_dtype(weight))
        values = self.normalized(weight).clamped().mul_(scale)
        return straight_through(values, self.stand_in(weight, FLOAT))

    def _levels(self, weight: Tensor, bits: int, scale: Tensor) -> Levels:
        steps = 2**bits - (not self.nested)
        start = 1 / steps if self.settings.scheme == "centered" else 0
        return Levels(self._codes(weight, bits), 2 / steps * scale, (start - 1) * scale)

    def _codes(self, weight: Tensor, bits: int) -> Tensor:
        if not self.nested:
            return rounded_codes(self.normalized(weight), bits)
        stored = self.derived(weight, "codes", lambda: self._stored_codes(weight))
        return stored >> (self.code_bits - bits)

    def _stored_codes(self, weight: Tensor) -> Tensor:
        """Return min(floor(2^b1 x), 2^b1 - 1), uint8."""
        codes = self.normalized(weight).unit().mul_(2**self.code_bits).floor_()
        return codes.clamp_(max=2**self.code_bits - 1).to(torch.uint8)

    def _rescales(self, weight: Tensor) -> bool:
        is_linear = weight.dim() == 2
        return self.settings.rescale == "all" or (self.settings.rescale == "head" and is_linear)

    def _scale(self, weight: Tensor, bits: int) -> Tensor:
        """Return the scale of W_b, 0-dim, float64: not a number where a weight is not."""
        return self.derived(weight, ("scale", bits), lambda: self._constant_scale(weight, bits))

    def _constant_scale(self, weight: Tensor, bits: int) -> Tensor:
        # A weight that is not a number must not hide behind an integer code.
        finite = 1 + 0 * self.normalized(weight).maximum.double()
        if not self._rescales(weight):
            return finite
        if bits == FLOAT:
            values = self.normalized(weight).clamped().double()
        else:
            values = self._levels(weight, bits, finite).values(torch.float64)
        outputs = weight.shape[0] * weight.shape[2:].numel()
        variance = values.var()
        return torch.where(variance > 0, (outputs * variance).rsqrt(), 1.0) * finite
