"""Weights rounded at each bit-width by itself (DoReFa; CoQuant Eq. 1-2, AdaBits "original").

    W_b = 2 round((2^b - 1) x) / (2^b - 1) - 1

Only the normalization is shared: lower bit-widths need the float weights.
"""

import torch
from torch import Tensor

from models.quantizers.base import QuantizedWeight
from models.quantizers.settings import QuantizerSettings
from models.quantizers.tanh_norm import NormalizedWeight


class DoReFaWeight(QuantizedWeight):
    """The normalized weight, to be rounded at any bit-width. Zero is not a level."""

    def __init__(self, weight: Tensor, settings: QuantizerSettings, code_bits: int) -> None:
        super().__init__(weight, settings, code_bits)
        self._normalized = NormalizedWeight(weight)
        self._distances: dict[tuple[int, int], Tensor] = {}

    def codes(self, bits: int) -> Tensor:
        """Return round((2^b - 1) x)."""
        return self._rounded(bits).to(torch.uint8)

    def affine(self, bits: int) -> tuple[Tensor, Tensor]:
        """Return 2 / (2^b - 1) and -1."""
        # A weight that is not a number must not hide behind an integer code.
        finite = 1 + 0 * self._normalized.maximum.double()
        return 2 / (2**bits - 1) * finite, -finite

    def fake_quantize(self, weight: Tensor, bits: int) -> Tensor:
        """Return W_b; the gradient passes the rounding unchanged: dL/dx = 2 dL/dW_b."""
        slope = torch.full_like(self._normalized.maximum, 2.0)
        return self._normalized.straight_through(
            weight, self._values(bits), slope, max_grad=self.settings.weight_norm_max_grad
        )

    def distance(self, teacher: int, student: int) -> Tensor:
        """Return mean|W_teacher - W_student|."""
        pair = (teacher, student)
        if pair not in self._distances:
            gaps = (self._values(teacher).double() - self._values(student).double()).abs()
            self._distances[pair] = gaps.mean()
        return self._distances[pair]

    def _rounded(self, bits: int) -> Tensor:
        return self._normalized.unit().mul_(2**bits - 1).round_()

    def _values(self, bits: int) -> Tensor:
        return self._rounded(bits).mul_(2 / (2**bits - 1)).sub_(1)
