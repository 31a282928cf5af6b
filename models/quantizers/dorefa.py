"""Weights rounded at each bit-width by itself (DoReFa; CoQuant Eq. 1-2, AdaBits "original").

    W_b = 2 round((2^b - 1) x) / (2^b - 1) - 1

Only the normalization is shared: lower bit-widths need the float weights. Zero is not a level.
"""

from typing import Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor

from models.quantizers.base import Levels
from models.quantizers.tanh_norm import NormalizedWeight, NormalizingQuantizer


class DoReFaSettings(BaseModel, frozen=True, extra="forbid"):
    """DoReFa's weight quantizer."""

    name: Literal["dorefa"] = "dorefa"
    norm_max_grad: bool = Field(
        True, description="gradient flows through max|tanh W|, as in DoReFa's and AdaBits' code"
    )


class DoReFaWeight(NormalizingQuantizer):
    """Rounds the normalized weight at any bit-width."""

    Settings = DoReFaSettings
    settings: DoReFaSettings

    def share(self, weight: Tensor) -> NormalizedWeight:
        """Return the normalized weight."""
        return NormalizedWeight(weight)

    def normalized(self, weight: Tensor) -> NormalizedWeight:
        """Return the normalized weight, all that is shared."""
        normalized: NormalizedWeight = self.shared(weight)
        return normalized

    def levels(self, weight: Tensor, bits: int) -> Levels:
        """Return round((2^b - 1) x), its gain 2 / (2^b - 1) and its offset -1."""
        normalized = self.normalized(weight)
        codes = rounded_codes(normalized, bits)
        # A weight that is not a number must not hide behind an integer code.
        finite = 1 + 0 * normalized.maximum.double()
        return Levels(codes, 2 / (2**bits - 1) * finite, -finite)


def rounded_codes(normalized: NormalizedWeight, bits: int) -> Tensor:
    """Return round((2^b - 1) x), uint8."""
    return normalized.unit().mul_(2**bits - 1).round_().to(torch.uint8)
