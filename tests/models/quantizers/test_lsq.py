"""Independent: the golden vectors of Bit-Mixer Eq. 1-2, in float64."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from models.precision import Precision
from models.quantizers.lsq import LsqFloorSettings, LsqFloorWeight
from tests.models.precisions import Bound
from tests.models.quantizers.straight_through import learned_step

Golden = Callable[[str], dict[str, Any]]


def quantizer(bits: int, step: float) -> LsqFloorWeight:
    made = LsqFloorWeight(LsqFloorSettings(), (bits,), 8).double()
    with torch.no_grad():
        made.steps[f"{bits}bit"].fill_(step)
    return made


@pytest.mark.golden
def test_values_and_gradients_are_the_golden_ones(golden: Golden) -> None:
    data = golden("bitmixer_lsq")
    for case in data["cases"]:
        bits = case["b"]
        lsq = quantizer(bits, case["step"])
        weight = torch.tensor(case["x"], dtype=torch.float64, requires_grad=True)
        values = lsq(weight, bits)
        values.backward(torch.tensor(case["upstream_grad"], dtype=torch.float64))
        assert values.tolist() == pytest.approx(case["y"], abs=data["abs"])
        assert weight.grad is not None
        assert weight.grad.tolist() == pytest.approx(case["grad_x"], abs=data["abs"])
        grad = lsq.steps[f"{bits}bit"].grad
        assert grad is not None
        assert grad.item() == pytest.approx(case["grad_step"], abs=data["abs"])


@pytest.mark.golden
def test_first_steps_are_the_golden_ones(golden: Golden) -> None:
    data = golden("bitmixer_lsq")
    for case in data["cases"]:
        bound = Bound(LsqFloorWeight, torch.tensor(case["x"], dtype=torch.float64))
        step = bound.quantizer.get_parameter(f"steps.{case['b']}bit")
        assert step.item() == pytest.approx(case["init_step"], abs=data["abs"])


@pytest.mark.parametrize("step", [-0.2, 0.0, 1e-9])
def test_a_step_at_or_below_zero_is_used_by_its_size_and_can_recover(step: float) -> None:
    lsq = quantizer(4, step)
    weight = torch.tensor([0.5, -0.3], dtype=torch.float64)
    values = lsq(weight, 4)
    used = max(abs(step), 1e-6)
    assert (values / used).tolist() == pytest.approx((values / used).round().tolist())
    values.sum().backward()
    grad = lsq.steps["4bit"].grad
    assert grad is not None
    assert grad.isfinite()


def test_a_step_of_the_optimizer_on_a_learned_step_changes_distances() -> None:
    bound = Bound(LsqFloorWeight, torch.randn(50))
    before = bound.distance(4, 2).item()
    with torch.no_grad():
        bound.quantizer.get_parameter("steps.4bit").mul_(2)
    assert bound.distance(4, 2).item() != before


@pytest.mark.parametrize("bits", [4, 1])
@pytest.mark.parametrize("lost", [torch.nan, torch.inf])
def test_a_weight_that_is_not_finite_shows_in_every_value(lost: float, bits: int) -> None:
    bound = Bound(LsqFloorWeight, torch.tensor([0.3, 0.1]))
    bound.weight[1] = lost
    assert bound.values(bits).isnan().all()
    assert bound.levels(bits).values(torch.float32).isnan().all()


def test_a_step_that_is_there_is_kept_when_another_precision_begins() -> None:
    bound = Bound(LsqFloorWeight, torch.randn(50), code_bits=4)
    before = bound.values(4)
    steps = bound.quantizer.get_submodule("steps")
    parameter = steps["4bit"]
    steps.begin(Precision(4, 8), Precision(3, 3))
    assert steps["4bit"] is parameter
    assert torch.equal(bound.values(4), before)
    steps.begin(Precision(5, 5), Precision(4, 4))
    assert steps["5bit"].item() == pytest.approx(parameter.item() * 7 / 15)


VARIANTS = [
    {"rounding": rounding, "range": reach, "lower": lower}
    for rounding, reach, lower in [
        ("floor", "symmetric", "nested"),
        ("floor", "symmetric", "clip"),
        ("floor", "asymmetric", "own"),
        ("round", "symmetric", "own"),
        ("round", "asymmetric", "nested"),
    ]
]


@pytest.mark.parametrize("settings", VARIANTS, ids=lambda one: "-".join(one.values()))
@pytest.mark.parametrize("bits", [8, 3, 2, 1])
def test_every_variant_keeps_levels_and_order_and_its_codes_are_its_values(
    settings: dict[str, str], bits: int
) -> None:
    weight = torch.randn(20, 30).requires_grad_()
    bound = Bound(LsqFloorWeight, weight, **settings)
    values, levels = bound.values(bits), bound.levels(bits)
    assert (values.flatten()[weight.flatten().argsort()].diff() >= 0).all()
    assert len(values.unique()) <= 2**bits
    assert int(levels.codes.max()) <= 2**bits - 1
    torch.testing.assert_close(values, levels.values(torch.float32))
    values.sum().backward()
    assert weight.grad is not None
    assert weight.grad.count_nonzero() > 0


def test_the_asymmetric_range_has_one_more_multiple_below() -> None:
    weight = torch.linspace(-9, 9, 1001)
    for reach, lowest in (("symmetric", -3), ("asymmetric", -4)):
        bound = Bound(LsqFloorWeight, weight, range=reach)
        step = bound.quantizer.get_parameter("steps.3bit")
        step.detach().fill_(0.5)
        multiples = bound.values(3) / step
        assert (multiples.min().round().item(), multiples.max().round().item()) == (lowest, 3)


def test_the_nearest_multiple_is_taken_with_round() -> None:
    bound = Bound(LsqFloorWeight, torch.randn(500, dtype=torch.float64), rounding="round")
    step = bound.quantizer.get_parameter("steps.4bit")
    assert (bound.values(4) - bound.weight.clamp(-7 * step, 7 * step)).abs().max() <= step / 2


@pytest.mark.parametrize("rounding", ["floor", "round"])
def test_nested_codes_follow_from_the_highest_ones_and_the_steps_alone(rounding: str) -> None:
    bound = Bound(LsqFloorWeight, torch.randn(2000), 4, lower="nested", rounding=rounding)
    own = Bound(LsqFloorWeight, bound.weight, 4, rounding=rounding)
    steps = {b: bound.quantizer.get_parameter(f"steps.{b}bit").detach().numpy() for b in (4, 3, 2)}
    stored = bound.codes(4).numpy().astype(np.float32) - 7
    whole = {"floor": np.floor, "round": np.rint}[rounding]
    for bits, most in ((3, 3), (2, 1)):
        derived = whole(np.clip(stored * (steps[4] / steps[bits]), -most, most))
        assert np.array_equal(derived + most, bound.codes(bits).numpy())
        assert not torch.equal(bound.codes(bits), own.codes(bits))
    assert torch.equal(bound.codes(1), torch.from_numpy(stored >= 0).to(torch.uint8))


def test_nested_codes_of_an_equal_step_are_the_stored_ones_clipped() -> None:
    bound = Bound(LsqFloorWeight, torch.randn(5000), 8, lower="nested")
    with torch.no_grad():
        for step in bound.quantizer.parameters():
            step.fill_(0.1)
    stored = bound.codes(8).int() - 127
    assert torch.equal(bound.codes(7).int() - 63, stored.clamp(-63, 63))


def test_nested_gradients_go_through_the_highest_bit_width() -> None:
    weight = torch.randn(300, dtype=torch.float64, requires_grad=True)
    bound = Bound(LsqFloorWeight, weight, 4, lower="nested")
    own = [bound.quantizer.get_parameter(f"steps.{bits}bit") for bits in (4, 2)]
    high, low = (step.detach().clone().requires_grad_() for step in own)
    scales = (300 * 7) ** -0.5, (300 * 1) ** -0.5
    expected = learned_step(learned_step(weight, high, 4), low, 2)
    upstream = torch.randn_like(weight)
    wanted = torch.autograd.grad(expected, (weight, high, low), upstream)
    for path in (bound.values(2), bound.quantizer.stand_in(weight, 2)):
        found = torch.autograd.grad(path, (weight, *own), upstream)
        torch.testing.assert_close(found[0], wanted[0])
        torch.testing.assert_close(found[1], scales[0] * wanted[1])
        torch.testing.assert_close(found[2], scales[1] * wanted[2])


@pytest.mark.parametrize("rounding", ["floor", "round"])
def test_clipped_codes_are_those_of_the_next_bit_width_clipped_at_one_step(rounding: str) -> None:
    weight = torch.randn(2000, dtype=torch.float64)
    bound = Bound(LsqFloorWeight, weight, 4, lower="clip", rounding=rounding)
    (step,) = bound.quantizer.parameters()
    assert step.item() == pytest.approx(2 * bound.weight.abs().mean().item() / 7**0.5)
    multiples = {bits: (bound.values(bits) / step).round() for bits in (4, 3, 2, 1)}
    for bits, most in ((3, 3), (2, 1)):
        assert torch.equal(multiples[bits], multiples[bits + 1].clamp(-most, most))
    assert torch.equal(multiples[1], torch.where(multiples[2] < 0, -1.0, 1.0).double())


@pytest.mark.parametrize("rounding", ["floor", "round"])
def test_the_step_of_clipped_codes_learns_from_what_each_weight_was_rounded_by(
    rounding: str,
) -> None:
    weight = torch.tensor([-1.5, -0.9, -0.3, 0.0, 0.3, 0.9, 1.5], dtype=torch.float64)
    bound = Bound(LsqFloorWeight, weight.requires_grad_(), 4, lower="clip", rounding=rounding)
    step = bound.quantizer.get_parameter("steps.shared")
    with torch.no_grad():
        step.fill_(1.0)
    codes = {"floor": [-1, -1, -1, 1, 1, 1, 1], "round": [-1, -1, 1, 1, 1, 1, 1]}[rounding]
    for number, (code, v) in enumerate(zip(codes, weight.tolist(), strict=True)):
        wanted = (code - v if -1 < v < 1 else code) / (7 * 1) ** 0.5
        for path in (bound.values(1), bound.quantizer.stand_in(weight, 1)):
            slope, own = torch.autograd.grad(path[number], (step, weight))
            assert slope.item() == pytest.approx(wanted)
            assert own[number] == (-1 < v < 1)


def test_a_shared_step_stays_when_another_precision_begins() -> None:
    bound = Bound(LsqFloorWeight, torch.randn(50), code_bits=4, lower="clip")
    steps = bound.quantizer.get_submodule("steps")
    steps.begin(Precision(3, 8), Precision(4, 4))
    assert list(steps) == ["shared"]
