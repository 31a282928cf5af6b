"""Weights whose low bit-widths are the highest one with bits dropped (CoQuant Eq. 3-5).

With K = 2^b1 - 1 and d = 2^(b1-b):

    H = round(K x)      k_b = H >> (b1-b)      z_b = k_b d / K      W_b = 2 s_b z_b - 1

s_b = mean(H/K) / mean(z_b) aligns the mean of z_b with that of the b1-bit tensor. It is taken in
[0,1], before the map to [-1,1]; as printed (after it) it would divide by a mean near zero.
"""

from typing import Literal

import torch
from pydantic import BaseModel, Field
from torch import Tensor

from models.quantizers.base import Levels
from models.quantizers.tanh_norm import NormalizedWeight, NormalizingQuantizer


class TruncatedSettings(BaseModel, frozen=True, extra="forbid"):
    """CoQuant's weight quantizer and the choices that its paper leaves open."""

    name: Literal["coquant_trunc"] = "coquant_trunc"
    norm_max_grad: bool = Field(
        True, description="gradient flows through max|tanh W|, as in DoReFa's and AdaBits' code"
    )
    align_domain: Literal["unit", "none"] = Field(
        "unit", description="mean alignment of truncated weights in [0,1] (CoQuant Eq. 5), or none"
    )
    align_scale_in_backward: bool = Field(
        False, description="multiply the alignment factor s_b into the weight gradient"
    )


class StoredCodes:
    """The codes H of a weight, and their histogram, from which everything else follows exactly."""

    def __init__(self, weight: Tensor, code_bits: int, *, aligned: bool) -> None:
        self.code_bits = code_bits
        self.normalized = NormalizedWeight(weight)
        top = 2**code_bits - 1
        self.codes = self.normalized.unit().mul_(top).round_().to(torch.uint8)
        self.histogram = _histogram(self.codes.flatten(), top + 1)
        kept = self._kept_codes()
        self.align_scales = self._align_scales(kept, aligned)
        # A weight that is not a number must not hide behind an integer code.
        finite = 1 + 0 * self.normalized.maximum.double()
        self.gains = 2 * self.align_scales / top * finite
        self.levels = self.gains[:, None] * kept - 1

    def at(self, bits: int) -> Levels:
        """Return k_b with 2 s_b d / K and -1: W_b = 2 s_b z_b - 1."""
        dropped = self.code_bits - bits
        gain = self.gains[bits - 1] * 2**dropped
        return Levels(self.codes >> dropped, gain, torch.full_like(gain, -1.0))

    def _kept_codes(self) -> Tensor:
        """Return k_b d for every b from 1 to b1 (rows) and every code (columns)."""
        device = self.codes.device
        codes = torch.arange(2**self.code_bits, device=device)
        dropped = self.code_bits - torch.arange(1, self.code_bits + 1, device=device)[:, None]
        return (codes >> dropped) << dropped

    def _align_scales(self, kept: Tensor, aligned: bool) -> Tensor:
        """Return s_b for every b from 1 to b1; 1 where nothing is left to align."""
        totals = (kept * self.histogram).sum(dim=1).double()
        if not aligned:
            return torch.ones_like(totals)
        return torch.where(totals > 0, totals[-1] / totals, 1.0)


class TruncatedWeight(NormalizingQuantizer):
    """Stores codes of b1 bits; every lower bit-width is a shift of them, and one scale."""

    Settings = TruncatedSettings
    settings: TruncatedSettings

    @property
    def nested(self) -> bool:
        """Whether low bit-widths follow from the stored codes: they do."""
        return True

    @property
    def origin(self) -> int:
        """The bit-width of the stored codes, from which bits are dropped (b1)."""
        return self.code_bits

    def share(self, weight: Tensor) -> StoredCodes:
        """Return the stored codes."""
        aligned = self.settings.align_domain == "unit"
        return StoredCodes(weight, self.code_bits, aligned=aligned)

    def normalized(self, weight: Tensor) -> NormalizedWeight:
        """Return the normalization from which the stored codes come."""
        normalized: NormalizedWeight = self.shared(weight).normalized
        return normalized

    def align_scale(self, weight: Tensor, bits: int) -> Tensor:
        """Return s_b, 0-dim, float64."""
        scale: Tensor = self.shared(weight).align_scales[bits - 1]
        return scale

    def levels(self, weight: Tensor, bits: int) -> Levels:
        """Return k_b, its gain 2 s_b d / K and its offset -1."""
        levels: Levels = self.shared(weight).at(bits)
        return levels

    def stand_in(self, weight: Tensor, bits: int) -> Tensor:
        """Return a tensor whose gradient passes round, floor and by default s_b unchanged."""
        stand_in = super().stand_in(weight, bits)
        if not self.settings.align_scale_in_backward:
            return stand_in
        return stand_in * self.align_scale(weight, bits).to(stand_in.dtype)

    def gap(self, weight: Tensor, teacher: int, student: int) -> Tensor:
        """Compute mean|W_teacher - W_student| from the histogram."""
        stored: StoredCodes = self.shared(weight)
        gaps = (stored.levels[teacher - 1] - stored.levels[student - 1]).abs()
        mean: Tensor = (gaps * stored.histogram).sum() / stored.codes.numel()
        return mean


def _histogram(codes: Tensor, bins: int) -> Tensor:
    """Return how many of the codes (N,) are 0, 1 ... bins - 1, int64."""
    if codes.is_cpu:
        return torch.bincount(codes, minlength=bins)
    # bincount would make the host wait for the largest code; on a CPU it is the faster one.
    ones = torch.ones((), dtype=torch.int64, device=codes.device).expand(len(codes))
    return torch.zeros(bins, dtype=torch.int64, device=codes.device).index_add_(
        0, codes.int(), ones
    )
