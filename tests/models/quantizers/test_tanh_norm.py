"""Independent: automatic differentiation of the formula written in torch.

Gathered gradients are compared with those of passes that go all the way to the weight.
"""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from models.quantizers import WEIGHT_QUANTIZERS
from models.quantizers.tanh_norm import NormalizedWeight
from models.quantizers.truncated import TruncatedWeight
from models.table import resolve
from tests.models.precisions import Bound


def gradient(weight: Tensor, upstream: Tensor, *, max_grad: bool) -> Tensor:
    weight = weight.clone().requires_grad_()
    NormalizedWeight(weight).signed(weight, max_grad=max_grad).backward(upstream)
    assert weight.grad is not None
    return weight.grad


def differentiated(weight: Tensor, upstream: Tensor, *, max_grad: bool) -> Tensor:
    weight = weight.clone().requires_grad_()
    tanh = weight.tanh()
    maximum = tanh.abs().amax()  # amax shares the gradient among equal maxima
    (tanh / (maximum if max_grad else maximum.detach())).backward(upstream)
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


BITS = (8, 4, 2)


def bound(name: str = "coquant_trunc", **settings: Any) -> Bound:
    weight = torch.randn(5, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    return Bound(resolve(WEIGHT_QUANTIZERS, name), weight, **settings)


def pass_at(quantized: Bound, bits: int) -> Tensor:
    """Go backward from a loss; return its gradient with respect to the quantized weight."""
    upstream = torch.randn(quantized.weight.shape, dtype=torch.float64)
    (quantized.values(bits) * upstream).sum().backward()
    return upstream


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("coquant_trunc", {}),
        ("coquant_trunc", {"norm_max_grad": False}),
        ("coquant_trunc", {"align_scale_in_backward": True}),
        ("dorefa", {}),
        ("lsq_floor", {}),
    ],
)
def test_gathered_gradients_are_those_of_passes_by_themselves(
    name: str, settings: dict[str, Any]
) -> None:
    quantized = bound(name, **settings)
    weight = quantized.weight
    wanted = torch.zeros_like(weight)
    with quantized.quantizer.gathering():
        upstreams = {bits: pass_at(quantized, bits) for bits in BITS}
    found, weight.grad = weight.grad, None
    for bits, upstream in upstreams.items():
        wanted += torch.autograd.grad((quantized.values(bits) * upstream).sum(), weight)[0]
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_the_normalization_is_differentiated_once_with_a_pass_without_gradient_before() -> None:
    quantized, ends = bound(), []
    quantized.weight.register_hook(ends.append)
    with quantized.quantizer.gathering():
        with torch.no_grad():
            quantized.values(4)
        upstreams = [pass_at(quantized, bits) for bits in BITS]
        assert quantized.weight.grad is None
    assert len(ends) == 1
    wanted = differentiated(quantized.weight.detach(), sum(upstreams), max_grad=True)
    torch.testing.assert_close(quantized.weight.grad, wanted)


def test_a_weight_must_not_change_while_gradients_are_gathered() -> None:
    quantized = bound()

    def changed() -> None:
        with quantized.quantizer.gathering():
            pass_at(quantized, 8)
            with torch.no_grad():
                quantized.weight.mul_(2)

    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        changed()


def test_after_an_error_what_was_gathered_is_dropped() -> None:
    quantized = bound()

    def stopped() -> None:
        with quantized.quantizer.gathering():
            pass_at(quantized, 8)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        stopped()
    assert quantized.weight.grad is None
    upstream = pass_at(quantized, 8)
    wanted = differentiated(quantized.weight.detach(), upstream, max_grad=True)
    torch.testing.assert_close(quantized.weight.grad, wanted)


def test_a_stand_in_has_the_gradient_of_the_values_and_no_memory_of_its_own() -> None:
    quantized = bound()
    upstream = torch.randn(quantized.weight.shape, dtype=torch.float64)
    assert isinstance(quantized.quantizer, TruncatedWeight)
    stand_in = quantized.quantizer.stand_in(quantized.weight, 4)
    assert stand_in.untyped_storage().nbytes() == 8
    both = [
        torch.autograd.grad((tensor * upstream).sum(), quantized.weight)[0]
        for tensor in (stand_in, quantized.values(4))
    ]
    assert torch.equal(*both)
