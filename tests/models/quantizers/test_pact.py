"""Independent: the golden vectors, and the formulas of PACT and SAT written out in numpy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from models.quantizers.pact import Pact, PactSettings
from tests.models.precisions import at

finite = st.floats(-20, 20, width=32)


def quantize(
    x: Tensor, alpha: float, bits: int, *, signed: bool = False, **settings: Any
) -> tuple[Tensor, Pact]:
    names = [f"{b}bit" for b in range(1, 9)]
    layer = Pact(PactSettings(**settings), names, signed=signed).to(x.dtype)
    with torch.no_grad():
        layer.clip_levels.at(at(bits)).fill_(alpha)
    return layer.quantize(x, at(bits)), layer


@pytest.mark.golden
@pytest.mark.parametrize("gradient", ["pact", "calibrated"])
def test_unsigned_levels_and_gradients_are_the_golden_ones(
    golden: Callable[[str], dict[str, Any]], gradient: str
) -> None:
    data = golden("pact")
    for case in data["cases"]:
        x = torch.tensor(case["x"], dtype=torch.float64, requires_grad=True)
        y, layer = quantize(x, case["alpha"], case["b"], gradient=gradient)
        y.backward(torch.tensor(case["upstream_grad"], dtype=torch.float64))
        codes = (y.detach() / case["alpha"] * (2 ** case["b"] - 1)).round().int()
        assert codes.tolist() == case["code"]
        assert y.tolist() == pytest.approx(case["y"], abs=data["abs"])
        assert x.grad is not None
        assert x.grad.tolist() == pytest.approx(case[gradient]["grad_x"], abs=data["abs"])
        grad_alpha = layer.clip_levels.at(at(case["b"])).grad
        assert grad_alpha is not None
        assert grad_alpha.item() == pytest.approx(case[gradient]["grad_alpha"], abs=data["abs"])


@pytest.mark.golden
@pytest.mark.parametrize("gradient", ["pact", "calibrated"])
def test_signed_levels_and_gradients_are_the_golden_ones(
    golden: Callable[[str], dict[str, Any]], gradient: str
) -> None:
    data = golden("pact")
    for case in data["cases"]:
        signed, bits, alpha = case["signed"], case["b"], case["alpha"]
        x = torch.tensor(signed["x"], dtype=torch.float64, requires_grad=True)
        y, layer = quantize(x, alpha, bits, signed=True, gradient=gradient)
        y.backward(torch.tensor(case["upstream_grad"], dtype=torch.float64))
        codes = ((y.detach() / alpha + 1) / 2 * (2**bits - 1)).round().int()
        assert codes.tolist() == signed["code"]
        assert y.tolist() == pytest.approx(signed["y"], abs=data["abs"])
        grad_alpha = layer.clip_levels.at(at(bits)).grad
        assert grad_alpha is not None
        assert grad_alpha.item() == pytest.approx(signed[f"{gradient}_grad_alpha"], abs=data["abs"])
        if gradient == "pact":
            assert x.grad is not None
            assert x.grad.tolist() == pytest.approx(signed["pact_grad_x"], abs=data["abs"])


@given(x=st.lists(finite, min_size=1), alpha=st.floats(0.01, 9), bits=st.integers(1, 8))
def test_unsigned_outputs_are_monotone_and_on_the_levels(
    x: list[float], alpha: float, bits: int
) -> None:
    y, _ = quantize(torch.tensor(sorted(x), dtype=torch.float64), alpha, bits)
    codes = y.detach().numpy() / alpha * (2**bits - 1)
    np.testing.assert_allclose(codes, codes.round(), atol=1e-9)
    assert codes.min() >= 0
    assert codes.max() <= 2**bits - 1 + 1e-9
    assert (np.diff(codes) >= -1e-9).all()


@given(x=st.lists(finite, min_size=1), alpha=st.floats(0.01, 9), bits=st.integers(1, 8))
def test_signed_outputs_are_monotone_and_on_the_levels(
    x: list[float], alpha: float, bits: int
) -> None:
    y, _ = quantize(torch.tensor(sorted(x), dtype=torch.float64), alpha, bits, signed=True)
    codes = (y.detach().numpy() / alpha + 1) / 2 * (2**bits - 1)
    np.testing.assert_allclose(codes, codes.round(), atol=1e-9)
    assert codes.min() >= -1e-9
    assert codes.max() <= 2**bits - 1 + 1e-9
    assert (np.diff(codes) >= -1e-9).all()


def test_zero_is_no_level_of_signed_activations() -> None:
    y, _ = quantize(torch.zeros(1), 1.0, 2, signed=True)
    assert y.item() == pytest.approx(1 / 3)


def test_signed_inputs_can_be_clipped_at_zero_instead() -> None:
    x = torch.linspace(-3, 3, 31)
    clipped, _ = quantize(x, 2.0, 4, signed=True, signed_inputs="relu")
    unsigned, _ = quantize(x, 2.0, 4)
    assert torch.equal(clipped, unsigned)


def test_an_activation_at_the_clip_level_passes_gradient_to_both() -> None:
    x = torch.tensor([2.0], requires_grad=True)
    y, layer = quantize(x, 2.0, 4)
    y.sum().backward()
    assert x.grad is not None
    assert (x.grad.item(), layer.clip_levels.at(at(4)).grad) == (1.0, torch.tensor(1.0))


@pytest.mark.parametrize("level", [-1.0, 0.0, 1e-4])
def test_a_clip_level_below_the_floor_acts_as_the_floor_and_can_recover(level: float) -> None:
    x = torch.tensor([0.5], requires_grad=True)
    y, layer = quantize(x, level, 8, floor=1e-2)
    y.sum().backward()
    assert y.item() == pytest.approx(1e-2)
    assert layer.clip_levels.at(at(8)).grad == 1.0


def test_only_the_clip_level_of_the_bit_width_gets_a_gradient() -> None:
    y, layer = quantize(torch.randn(8), 0.5, 4)
    y.sum().backward()
    given_a_gradient = [b for b in range(1, 9) if layer.clip_levels.at(at(b)).grad is not None]
    assert given_a_gradient == [4]


def test_the_clip_level_is_that_of_the_layer_and_not_of_the_one_before_it() -> None:
    x = torch.rand(50) * 4
    y, layer = quantize(x, 0.5, 4)
    assert torch.equal(layer.quantize(x, at(4, previous=2)), y)
    assert not torch.equal(layer.quantize(x, at(2, previous=4)), y)


def test_autocast_does_not_flip_codes() -> None:
    x = torch.rand(1000)
    layer = Pact(PactSettings(clip_init=0.9), ["8bit"], signed=False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x, at(8))
    assert y.dtype == torch.float32
    assert torch.equal(y, layer(x, at(8)))


def test_bfloat16_activations_get_float32_levels_and_a_bfloat16_gradient() -> None:
    x = torch.rand(100).bfloat16().requires_grad_()
    layer = Pact(PactSettings(clip_init=0.9), ["8bit"], signed=False)
    y = layer(x, at(8))
    y.sum().backward()
    assert torch.equal(y, layer(x.float(), at(8)))
    assert x.grad is not None
    assert x.grad.dtype == torch.bfloat16
    assert layer.clip_levels.at(at(8)).grad is not None


@pytest.mark.parametrize(
    ("signed", "inputs", "largest"),
    [(False, "symmetric", 2.0), (True, "symmetric", 3.0), (True, "relu", 2.0)],
)
def test_a_clip_level_can_start_at_the_largest_input_of_a_batch(
    signed: bool, inputs: str, largest: float
) -> None:
    layer = Pact(
        PactSettings(clip_start="data", signed_inputs=inputs), ["8bit", "4bit"], signed=signed
    )
    layer.starting = True
    layer(torch.tensor([-3.0, 0.5, 2.0]), at(4))
    layer(torch.tensor([9.0]), at(4))
    assert layer.clip_levels["4bit"] == largest
    assert layer.clip_levels["8bit"] == 0


def test_a_fixed_clip_level_waits_for_nothing_and_stays() -> None:
    layer = Pact(PactSettings(clip_init=5.0), ["4bit"], signed=False)
    assert not layer.waits_for_data
    layer.start(torch.tensor([9.0]), at(4))
    assert layer.clip_levels["4bit"] == 5
