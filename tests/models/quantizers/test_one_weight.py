"""Independent: the golden vectors, and the constants solved for Gaussian weights."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch

from models.quantizers.one_weight import CLIP_RATIOS, OneWeight
from tests.models.precisions import Bound

Golden = Callable[[str], dict[str, Any]]


@pytest.mark.golden
@pytest.mark.parametrize("bits", range(1, 9))
def test_values_and_gradients_are_the_golden_ones(golden: Golden, bits: int) -> None:
    data = golden("oneweight")
    for case in data["cases"]:
        weight = torch.tensor(case["w"], dtype=torch.float64, requires_grad=True)
        bound, expected = Bound(OneWeight, weight), case["per_bit"][str(bits)]
        values = bound.values(bits)
        largest = case["mean_abs"] if expected["alpha"] is None else expected["alpha"]
        q, alpha = (torch.tensor(given, dtype=torch.float64) for given in (expected["q"], largest))
        torch.testing.assert_close(values.detach(), q, rtol=0, atol=data["abs"])
        levels = bound.levels(bits)
        assert levels.gain.shape == (len(weight), *[1] * (weight.dim() - 1))
        torch.testing.assert_close(-levels.offset.flatten(), alpha, rtol=0, atol=1e-12)
        upstream = torch.randn_like(values)
        assert torch.equal(torch.autograd.grad(values, weight, upstream)[0], upstream)


def squared_error(clip: float, bits: int) -> float:
    """E(Q(w) - w)^2 of a standard normal weight, cell by cell in closed form."""
    most = 2 ** (bits - 1) - 1
    step = clip / most
    edges = [-math.inf, *((k + 0.5) * step for k in range(-most, most)), math.inf]
    error = 1.0
    for k, (low, high) in zip(range(-most, most + 1), pairwise(edges), strict=True):
        share = (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2
        mean = (math.exp(-(low**2) / 2) - math.exp(-(high**2) / 2)) / math.sqrt(2 * math.pi)
        error += (k * step) ** 2 * share - 2 * k * step * mean
    return error


@pytest.mark.parametrize("bits", CLIP_RATIOS)
def test_clip_ratios_are_those_of_the_least_squared_error(bits: int) -> None:
    low, high = 1.0, 6.0
    for _ in range(60):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        if squared_error(left, bits) < squared_error(right, bits):
            high = right
        else:
            low = left
    assert CLIP_RATIOS[bits] == pytest.approx(math.sqrt(2 / math.pi) / low, abs=1.5e-6)


def test_the_levels_of_a_filter_do_not_depend_on_other_filters() -> None:
    weight = torch.randn(3, 4, 3, 3)
    other = weight.clone()
    other[1:] *= 5
    for bits in (8, 2, 1):
        assert torch.equal(
            Bound(OneWeight, weight).values(bits)[0], Bound(OneWeight, other).values(bits)[0]
        )


def test_ternary_codes_are_three_and_a_binary_zero_is_positive() -> None:
    bound = Bound(OneWeight, torch.tensor([[-1.0, 0.0, 0.1, 3.0]]))
    assert bound.codes(2).tolist() == [[0, 1, 1, 2]]
    assert bound.values(1).tolist() == [[pytest.approx(v) for v in (-1.025, 1.025, 1.025, 1.025)]]


@pytest.mark.parametrize("bits", [8, 2, 1])
@pytest.mark.parametrize("lost", [torch.nan, torch.inf])
def test_a_weight_that_is_not_finite_shows_in_its_filter(lost: float, bits: int) -> None:
    bound = Bound(OneWeight, torch.randn(2, 5))
    bound.weight[1, 2] = lost
    values = bound.values(bits)
    assert values[1].isnan().all()
    assert values[0].isfinite().all()


def test_a_filter_of_zeros_is_quantized_to_zeros() -> None:
    for bits in range(1, 9):
        values = Bound(OneWeight, torch.zeros(2, 3, 3, 3)).values(bits)
        assert values.abs().max() <= 1e-12
