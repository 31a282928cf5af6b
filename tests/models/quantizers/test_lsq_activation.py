"""Independent: the golden vectors of Bit-Mixer Eq. 1-2, and the formula under autograd."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from models.quantizers.base import SHARED
from models.quantizers.lsq_activation import LsqFloorActivation, LsqFloorActivationSettings
from tests.models.precisions import at
from tests.models.quantizers.straight_through import learned_step

Golden = Callable[[str], dict[str, Any]]


def quantizer(
    bits: int, step: float, *, signed: bool = True, **settings: Any
) -> LsqFloorActivation:
    chosen = LsqFloorActivationSettings(**settings)
    made = LsqFloorActivation(chosen, [f"{bits}bit"], signed=signed)
    with torch.no_grad():
        made.input_steps[f"{bits}bit"].fill_(step)
    return made


@pytest.mark.golden
def test_values_and_gradients_are_the_golden_ones(golden: Golden) -> None:
    data = golden("bitmixer_lsq")
    for case in data["cases"]:
        bits = case["b"]
        lsq = quantizer(bits, 0.0).double()
        x = torch.tensor(case["x"], dtype=torch.float64, requires_grad=True)
        with torch.no_grad():
            lsq.input_steps[f"{bits}bit"].fill_(case["step"])
        values = lsq(x, at(bits))
        values.backward(torch.tensor(case["upstream_grad"], dtype=torch.float64))
        assert values.tolist() == pytest.approx(case["y"], abs=data["abs"])
        assert x.grad is not None
        assert x.grad.tolist() == pytest.approx(case["grad_x"], abs=data["abs"])
        grad = lsq.input_steps[f"{bits}bit"].grad
        assert grad is not None
        assert grad.item() == pytest.approx(case["grad_step"], abs=data["abs"])


@pytest.mark.golden
def test_codes_are_the_golden_ones_but_at_the_edges(golden: Golden) -> None:
    for case in golden("bitmixer_lsq")["cases"]:
        lsq = quantizer(case["b"], case["step"])
        lsq.in_codes = True
        codes = lsq(torch.tensor(case["x"]).view(1, -1, 1, 1), at(case["b"]))
        inner = ~torch.tensor(case["edge"])
        expected = torch.tensor(case["y"])[inner]
        torch.testing.assert_close(codes.values().flatten()[inner], expected, rtol=0, atol=1e-5)


@pytest.mark.golden
def test_first_steps_are_the_golden_ones(golden: Golden) -> None:
    data = golden("bitmixer_lsq")
    for case in data["cases"]:
        lsq = quantizer(case["b"], 0.0).double()
        lsq.start(torch.tensor(case["x"], dtype=torch.float64), at(case["b"]))
        step = lsq.input_steps[f"{case['b']}bit"]
        assert step.item() == pytest.approx(case["init_step"], abs=data["abs"])


@pytest.mark.parametrize("bits", [8, 3, 1])
@pytest.mark.parametrize("rounding", ["floor", "round"])
@pytest.mark.parametrize("reach", ["symmetric", "asymmetric"])
def test_every_variant_has_the_gradients_of_its_formula(
    bits: int, rounding: str, reach: str
) -> None:
    lsq = quantizer(bits, 0.1, rounding=rounding, range=reach).double()
    low = -(2 ** (bits - 1)) if reach == "asymmetric" and bits > 1 else None
    x = torch.randn(4, 50, dtype=torch.float64, requires_grad=True)
    step = lsq.input_steps[f"{bits}bit"].detach().clone().requires_grad_()
    expected = learned_step(x, step, bits, getattr(torch, rounding), low)
    values, upstream = lsq(x, at(bits)), torch.randn(4, 50, dtype=torch.float64)
    torch.testing.assert_close(values, expected)
    grad_x, grad_step = torch.autograd.grad(values, (x, *lsq.parameters()), upstream)
    wanted_x, wanted_step = torch.autograd.grad(expected, (x, step), upstream)
    scale = (200 * max(1, 2 ** (bits - 1) - 1)) ** -0.5
    torch.testing.assert_close((grad_x, grad_step), (wanted_x, scale * wanted_step))


def test_behind_a_relu_only_zero_and_the_step_are_left_at_two_bits() -> None:
    lsq = quantizer(2, 0.5, signed=False)
    assert lsq(torch.linspace(-2, 2, 41), at(2)).unique().tolist() == [0.0, 0.5]


def test_one_bit_behind_a_relu_is_refused_when_made_and_when_run() -> None:
    with pytest.raises(ValueError, match="all \\+1 behind a ReLU"):
        quantizer(1, 0.5, signed=False)
    shared = LsqFloorActivation(LsqFloorActivationSettings(), [SHARED], signed=False)
    with pytest.raises(ValueError, match="all \\+1 behind a ReLU"):
        shared(torch.randn(4), at("w4a1"))


def test_a_weight_of_one_bit_needs_no_signed_inputs() -> None:
    made = LsqFloorActivation(LsqFloorActivationSettings(), ["w1a2"], signed=False)
    assert made.waits_for_data
