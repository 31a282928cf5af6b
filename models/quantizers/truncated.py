"""Weights whose low bit-widths are the highest one with bits dropped (CoQuant Eq. 3-5).

With K = 2^b1 - 1 and d = 2^(b1-b):

    H = round(K x)      k_b = H >> (b1-b)      z_b = k_b d / K      W_b = 2 s_b z_b - 1

s_b = mean(H/K) / mean(z_b) aligns the mean of z_b with that of the b1-bit tensor. It is taken in
[0,1], before the map to [-1,1]; as printed (after it) it would divide by a mean near zero.
"""

import torch
from torch import Tensor

from models.quantizers.base import QuantizedWeight
from models.quantizers.settings import QuantizerSettings
from models.quantizers.tanh_norm import NormalizedWeight


class TruncatedWeight(QuantizedWeight):
    """The codes H of a weight, and their histogram, from which all else follows exactly."""

    def __init__(self, weight: Tensor, settings: QuantizerSettings, code_bits: int) -> None:
        super().__init__(weight, settings, code_bits)
        self._normalized = NormalizedWeight(weight)
        top = 2**code_bits - 1
        self._codes = self._normalized.unit().mul_(top).round_().to(torch.uint8)
        self._histogram = torch.bincount(self._codes.flatten(), minlength=top + 1)
        kept = self._kept_codes()
        self._align_scales = self._aligned(kept)
        # A weight that is not a number must not hide behind an integer code.
        finite = 1 + 0 * self._normalized.maximum.double()
        self._gains = 2 * self._align_scales / top * finite
        self._levels = self._gains[:, None] * kept - 1
        self._distances: dict[tuple[int, int], Tensor] = {}

    def align_scale(self, bits: int) -> Tensor:
        """Return s_b, 0-dim, float64."""
        return self._align_scales[bits - 1]

    def codes(self, bits: int) -> Tensor:
        """Return k_b."""
        return self._codes >> (self.code_bits - bits)

    def affine(self, bits: int) -> tuple[Tensor, Tensor]:
        """Return 2 s_b d / K and -1: W_b = 2 s_b z_b - 1."""
        gain = self._gains[bits - 1] * 2 ** (self.code_bits - bits)
        return gain, torch.full_like(gain, -1.0)

    def fake_quantize(self, weight: Tensor, bits: int) -> Tensor:
        """Return W_b; the gradient passes round, floor and s_b unchanged: dL/dx = 2 dL/dW_b."""
        dtype = self._normalized.tanh.dtype
        gain, offset = self.affine(bits)
        values = self.codes(bits).to(dtype).mul_(gain.to(dtype)).add_(offset.to(dtype))
        slope = torch.full_like(gain, 2.0)
        if self.settings.align_scale_in_backward:
            slope *= self.align_scale(bits)
        return self._normalized.straight_through(
            weight, values, slope.to(dtype), max_grad=self.settings.weight_norm_max_grad
        )

    def distance(self, teacher: int, student: int) -> Tensor:
        """Return mean|W_teacher - W_student|, from the histogram."""
        pair = (teacher, student)
        if pair not in self._distances:
            gaps = (self._levels[teacher - 1] - self._levels[student - 1]).abs()
            self._distances[pair] = (gaps * self._histogram).sum() / self._codes.numel()
        return self._distances[pair]

    def _kept_codes(self) -> Tensor:
        """Return k_b d for every b from 1 to b1 (rows) and every code (columns)."""
        device = self._codes.device
        codes = torch.arange(2**self.code_bits, device=device)
        dropped = self.code_bits - torch.arange(1, self.code_bits + 1, device=device)[:, None]
        return (codes >> dropped) << dropped

    def _aligned(self, kept: Tensor) -> Tensor:
        """Return s_b for every b from 1 to b1; 1 where nothing is left to align."""
        totals = (kept * self._histogram).sum(dim=1).double()
        if self.settings.align_domain == "none":
            return torch.ones_like(totals)
        return torch.where(totals > 0, totals[-1] / totals, 1.0)
