"""Independent: the equations written out, with rounding passed straight through by autograd."""

import pytest
import torch
from torch import Tensor

from models.quantizers.double_rounding import DoubleRoundingSettings, DoubleRoundingWeight
from models.roles import roles
from tests.models.precisions import Bound


def rounded(values: Tensor) -> Tensor:
    return values + (values.round() - values).detach()


def by_the_equations(weight: Tensor, step: Tensor, bits: int, code_bits: int) -> Tensor:
    dropped = 2.0 ** (code_bits - bits)
    stored = rounded((weight / step).clamp(-(2 ** (code_bits - 1)), 2 ** (code_bits - 1) - 1))
    code = rounded((stored / dropped).clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1))
    return step * dropped * code


def bound_to(weight: Tensor, code_bits: int) -> tuple[Bound, torch.nn.Parameter]:
    bound = Bound(DoubleRoundingWeight, weight, code_bits)
    return bound, bound.quantizer.get_parameter(f"steps.{code_bits}bit")


@pytest.mark.parametrize("code_bits", [8, 4])
@pytest.mark.parametrize("lowered", [0, 1, 2, 3])
@pytest.mark.parametrize("size", [0.02, 0.2])
def test_values_and_gradients_follow_the_equations(
    code_bits: int, lowered: int, size: float
) -> None:
    weight = (2 * torch.randn(30, 40, dtype=torch.float64)).requires_grad_()
    bound, step = bound_to(weight, code_bits)
    bits = code_bits - lowered
    with torch.no_grad():
        step.fill_(size)
    expected = by_the_equations(weight, step, bits, code_bits)
    values = bound.values(bits)
    torch.testing.assert_close(values, expected)
    upstream = torch.randn_like(values)
    of_weight, of_step = torch.autograd.grad(values, (weight, step), upstream)
    wanted, wanted_step = torch.autograd.grad(expected, (weight, step), upstream)
    assert 0 < wanted.count_nonzero() <= weight.numel()
    torch.testing.assert_close(of_weight, wanted)
    scale = (1200 * (2 ** (code_bits - 1) - 1)) ** -0.5
    torch.testing.assert_close(of_step, scale * wanted_step)


def test_low_codes_are_rounded_from_the_stored_ones_and_clamped() -> None:
    bound, step = bound_to(torch.tensor([-2.0, -0.97, -0.33, 0.0, 0.31, 0.76, 1.26, 3.0]), 8)
    with torch.no_grad():
        step.fill_(0.01)
    assert (bound.codes(8).int() - 128).tolist() == [-128, -97, -33, 0, 31, 76, 126, 127]
    # 31 / 64 rounds to 0, 97 / 64 to 2, and 126 / 64 to 2, which two bits do not have.
    assert (bound.codes(2).int() - 2).tolist() == [-2, -2, -1, 0, 0, 1, 1, 1]


def test_the_step_starts_as_lsqs_at_the_lowest_bit_width() -> None:
    weight = torch.randn(4000)
    quantizer = DoubleRoundingWeight(DoubleRoundingSettings(), (8, 4, 2), 8)
    quantizer.start(weight)
    step = quantizer.get_parameter("steps.8bit")
    assert 64 * step.item() == pytest.approx(2 * weight.abs().mean().item())
    assert len(quantizer(weight, 2).unique()) == 4
    assert (quantizer.levels(weight, 8).codes == 255).float().mean() < 0.01


def test_it_has_one_step_and_none_in_a_float_network() -> None:
    quantizer = DoubleRoundingWeight(DoubleRoundingSettings(), (6, 4, 2), 8)
    assert [(one.name, one.role) for one in roles(quantizer)] == [("steps.8bit", "step")]
    assert list(DoubleRoundingWeight(DoubleRoundingSettings(), (), 8).parameters()) == []


@pytest.mark.parametrize("size", [-0.2, 0.0])
def test_a_step_at_or_below_zero_is_used_by_its_size_and_can_recover(size: float) -> None:
    bound, step = bound_to(torch.tensor([0.5, -0.3], dtype=torch.float64), 4)
    with torch.no_grad():
        step.fill_(size)
    values = bound.values(4)
    used = max(abs(size), 1e-6)
    torch.testing.assert_close(values / used, (values / used).round())
    (grad,) = torch.autograd.grad(values.sum(), step)
    with torch.no_grad():
        step.fill_(used)
    (mirrored,) = torch.autograd.grad(bound.values(4).sum(), step)
    assert mirrored != 0
    assert grad == (mirrored if size == 0 else -mirrored)


@pytest.mark.parametrize("lost", [torch.nan, torch.inf])
def test_a_weight_that_is_not_finite_shows_in_every_value(lost: float) -> None:
    bound, _ = bound_to(torch.tensor([0.3, 0.1]), 8)
    bound.weight[1] = lost
    assert bound.values(4).isnan().all()
    assert bound.levels(4).values(torch.float32).isnan().all()
