"""Independent: automatic differentiation of the formula written in torch."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from models.quantizers.tanh_norm import NormalizedWeight


def gradient(weight: Tensor, upstream: Tensor, *, max_grad: bool) -> Tensor:
    weight = weight.clone().requires_grad_()
    normalized = NormalizedWeight(weight)
    slope = torch.tensor(1.0, dtype=weight.dtype)
    x = normalized.straight_through(weight, normalized.unit(), slope, max_grad=max_grad)
    x.backward(upstream)
    assert weight.grad is not None
    return weight.grad


def differentiated(weight: Tensor, upstream: Tensor, *, max_grad: bool) -> Tensor:
    weight = weight.clone().requires_grad_()
    tanh = weight.tanh()
    maximum = tanh.abs().amax()  # amax shares the gradient among equal maxima
    (tanh / (2 * (maximum if max_grad else maximum.detach())) + 0.5).backward(upstream)
    assert weight.grad is not None
    return weight.grad


@pytest.mark.parametrize("max_grad", [True, False])
@given(
    values=st.lists(st.sampled_from([-2.0, -1.0, -0.3, 0.0, 0.4, 1.0, 2.0]), min_size=1),
    seed=st.integers(0, 99),
)
def test_gradient_is_that_of_the_formula_and_ties_share_it(
    max_grad: bool, values: list[float], seed: int
) -> None:
    if not any(values):
        values = [*values, 1.0]
    weight = torch.tensor(values, dtype=torch.float64)
    upstream = torch.randn(
        len(values), dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
    torch.testing.assert_close(
        gradient(weight, upstream, max_grad=max_grad),
        differentiated(weight, upstream, max_grad=max_grad),
    )


@given(values=st.lists(st.floats(-1e3, 1e3, width=32), min_size=1))
def test_the_largest_weight_reaches_an_end_of_the_unit_interval(values: list[float]) -> None:
    x = NormalizedWeight(torch.tensor(values)).unit()
    assert 0 <= x.min() <= x.max() <= 1
    reached: Any = (x - 0.5).abs().max().item()
    assert reached == pytest.approx(0.5 if any(torch.tensor(values).tanh()) else 0.0)


def test_an_all_zero_weight_is_the_middle_and_gets_no_gradient() -> None:
    zero = torch.zeros(4)
    assert NormalizedWeight(zero).unit().tolist() == [0.5] * 4
    assert gradient(zero, torch.ones(4), max_grad=True).tolist() == [0.0] * 4
