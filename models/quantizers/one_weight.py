"""Weights on levels of each filter's own (One Weight Bitwidth to Rule Them All, Eq. 1-5).

With m_i = mean|W_i| over filter i, and n = 2^(b-1) - 1:

    b >= 3    a_i = m_i / c_b,   W_b = round(clip(W, -a_i, a_i) n / a_i) a_i / n
    b = 2     W_b = 0 if |W| < 0.7 m_i else sign(W) m_i
    b = 1     W_b = sign(W) m_i,   sign(0) = +1

The gradient passes every element unchanged, also where it is clipped; m_i is a constant.
"""

from typing import Literal

import torch
from pydantic import BaseModel
from torch import Tensor

from models.quantizers.base import Levels, WeightQuantizer, arithmetic_dtype
from models.quantizers.straight_through import straight_through

CLIP_RATIOS = {3: 0.408688, 4: 0.322524, 5: 0.275253, 6: 0.243993, 7: 0.221176, 8: 0.203516}
"""c_b = E|w| / a, for the a with which Gaussian weights have the least squared error."""

TERNARY_THRESHOLD = 0.7
"""At two bits, the share of mean|W_i| below which a weight is 0."""

SMALLEST_MEAN = 1e-12
"""Of a filter of zeros, whose levels must be apart."""


class OneWeightSettings(BaseModel, frozen=True, extra="forbid"):
    """The weight quantizer of One Weight Bitwidth."""

    name: Literal["one_weight"] = "one_weight"


class OneWeight(WeightQuantizer):
    """Binary, ternary and clipped levels, all from the mean of a filter's absolute weights."""

    Settings = OneWeightSettings
    settings: OneWeightSettings

    def share(self, weight: Tensor) -> Tensor:
        """Return mean|W_i| of each filter, (filters, 1, 1, 1), or (filters, 1) of a linear layer.

        It is not a number where a weight is not finite, which must not hide behind a code.
        """
        sizes = weight.detach().to(arithmetic_dtype(weight)).abs().flatten(1)
        means = sizes.mean(dim=1).clamp(min=SMALLEST_MEAN) + 0 * sizes.amax(dim=1)
        return means.view(-1, *[1] * (weight.dim() - 1))

    def levels(self, weight: Tensor, bits: int) -> Levels:
        """Return codes from 0 on, with gains and offsets of each filter.

        One bit: -m, m. Two: -m, 0, m. More: from -a to a in steps of a / n.
        """
        mean: Tensor = self.shared(weight)
        values = weight.detach().to(mean.dtype)
        if bits == 1:
            return Levels((values >= 0).to(torch.uint8), 2 * mean.double(), -mean.double())
        if bits == 2:
            signs = values.sign().mul_(values.abs() >= TERNARY_THRESHOLD * mean)
            return Levels(signs.add_(1).to(torch.uint8), mean.double(), -mean.double())
        most = 2 ** (bits - 1) - 1
        clip = mean / CLIP_RATIOS[bits]
        codes = values.clamp(-clip, clip).mul_(most).div_(clip).round_().add_(most)
        return Levels(codes.to(torch.uint8), clip.double() / most, -clip.double())

    def forward(self, weight: Tensor, bits: int) -> Tensor:
        """Return W_b with the gradient of the weight itself."""
        values = self.levels(weight, bits).values(arithmetic_dtype(weight))
        return straight_through(values, weight)

    def stand_in(self, weight: Tensor, bits: int) -> Tensor:
        """Return the weight, whose gradient is that of W_b."""
        return weight
