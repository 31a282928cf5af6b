"""PACT in codes: against the golden vectors, and against its values with ties left out."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from models.quantized import Codes, values_of
from models.quantizers.pact import Pact, PactSettings
from tests.models.precisions import at

BITS = range(1, 9)
FORMS = {
    "behind a ReLU": (False, "symmetric"),
    "symmetric": (True, "symmetric"),
    "clipped at 0": (True, "relu"),
}
forms = pytest.mark.parametrize(("signed", "inputs"), FORMS.values(), ids=FORMS)
gradients = pytest.mark.parametrize("gradient", ["pact", "calibrated"])


def quantizer(alpha: float, *, signed: bool, codes: bool = True, **settings: Any) -> Pact:
    layer = Pact(PactSettings(**settings), [f"{bits}bit" for bits in BITS], signed=signed)
    layer.in_codes = codes
    with torch.no_grad():
        for level in layer.clip_levels.values():
            level.fill_(alpha)
    return layer


def encoded(
    layer: Pact, bits: int, x: Tensor, upstream: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The codes and values of x, and the gradients of x and of the clip level."""
    x = x.view(1, -1, 1, 1).detach().requires_grad_()
    codes = layer(x, at(bits))
    assert isinstance(codes, Codes)
    assert codes.codes.dtype == torch.uint8
    values = codes.values()
    values.backward(upstream.view_as(values))
    level = layer.clip_levels.at(at(bits)).grad
    assert x.grad is not None
    assert level is not None
    return codes.codes.flatten(), values.detach().flatten(), x.grad.flatten(), level


@pytest.mark.golden
@gradients
@forms
def test_codes_values_and_gradients_are_the_golden_ones(
    golden: Callable[[str], dict[str, Any]], gradient: str, signed: bool, inputs: str
) -> None:
    """But for ties, and for what is 0 exactly, where a ReLU passes nothing on."""
    for case in golden("pact")["cases"]:
        alpha, upstream = case["alpha"], torch.tensor(case["upstream_grad"])
        symmetric = signed and inputs == "symmetric"
        expected = case["signed"] if symmetric else case
        x, free = torch.tensor(expected["x"]), ~torch.tensor(expected["tie"])
        layer = quantizer(alpha, signed=signed, signed_inputs=inputs, gradient=gradient)
        codes, y, grad_x, grad_alpha = encoded(layer, case["b"], x, upstream)
        assert torch.equal(codes[free], torch.tensor(expected["code"])[free])
        torch.testing.assert_close(y[free], torch.tensor(expected["y"])[free], rtol=0, atol=1e-5)
        wanted = (
            expected[f"{gradient}_grad_alpha"] if symmetric else expected[gradient]["grad_alpha"]
        )
        inside = x.abs() < alpha if symmetric else (x > 0) & (x < alpha)
        if gradient == "calibrated":  # a tie that is rounded the other way counts there as well
            moved = (y - torch.tensor(expected["y"])) * upstream * inside / alpha
            wanted += moved[~free].sum().item()
        assert grad_alpha.item() == pytest.approx(wanted, rel=1e-5, abs=1e-5)
        torch.testing.assert_close(grad_x[inside], upstream[inside])
        if not symmetric:
            golden_x = torch.tensor(expected[gradient]["grad_x"])
            exact = torch.tensor(expected["x"], dtype=torch.float64)
            apart = (x != 0) & ((exact == alpha) | (x != alpha))  # not what rounds to alpha here
            torch.testing.assert_close(grad_x[apart], golden_x[apart])


def off_ties(bits: int, alpha: float, *, symmetric: bool) -> Tensor:
    """Inputs around every level and beyond both ends, a twentieth of a step from the next tie."""
    top = 2**bits - 1
    units = torch.arange(-2, top + 3).double() + torch.linspace(-0.45, 0.45, top + 5)
    return (units / top * alpha * (1 + symmetric) - alpha * symmetric).float()


@gradients
@forms
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("alpha", [1.7, 1e-3])
def test_codes_have_the_values_and_gradients_of_the_path_of_values(
    bits: int, alpha: float, gradient: str, signed: bool, inputs: str
) -> None:
    """Also where a clip level is below the floor, which is then used instead."""
    x = off_ties(bits, max(alpha, 0.01), symmetric=signed and inputs == "symmetric")
    upstream = torch.randn_like(x)
    settings = {"signed_inputs": inputs, "gradient": gradient, "floor": 0.01}
    by_codes = encoded(quantizer(alpha, signed=signed, **settings), bits, x, upstream)
    layer = quantizer(alpha, signed=signed, codes=False, **settings)
    x.requires_grad_()
    values = layer(x, at(bits))
    values.backward(upstream)
    assert len(values.unique()) == 2**bits
    by_values = values.detach(), x.grad, layer.clip_levels.at(at(bits)).grad
    for own, expected in zip(by_codes[1:], by_values, strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-5, atol=1e-5)


@gradients
@pytest.mark.parametrize(
    ("form", "x", "passed", "held", "to_alpha"),
    [
        ("behind a ReLU", [0.0, 2.0], [0, 1], [0, 0], 1),
        ("symmetric", [-2.0, 0.0, 2.0], [1, 1, 1], [0, 1, 0], 0),
        ("clipped at 0", [0.0, 2.0], [1, 1], [0, 0], 1),
    ],
)
def test_at_exactly_the_ends_a_gradient_goes_to_the_clip_level_and_of_pact_to_the_input_too(
    form: str, x: list[float], passed: list[int], held: list[int], to_alpha: int, gradient: str
) -> None:
    """SAT holds it back there; at 0 a ReLU does."""
    signed, inputs = FORMS[form]
    layer = quantizer(2.0, signed=signed, signed_inputs=inputs, gradient=gradient)
    _, values, grad_x, grad_alpha = encoded(layer, 2, torch.tensor(x), torch.ones(len(x)))
    assert grad_x.tolist() == (passed if gradient == "pact" else held)
    middle = (values / 2).tolist()[1] if gradient == "calibrated" and form == "symmetric" else 0
    assert grad_alpha.item() == pytest.approx(to_alpha + middle)


@forms
def test_an_evaluation_gives_the_codes_of_a_training(signed: bool, inputs: str) -> None:
    layer = quantizer(1.3, signed=signed, signed_inputs=inputs)
    x = torch.randn(2, 3, 5, 4)
    trained = layer(x, at(3))
    with torch.no_grad():
        evaluated = layer(x, at(3))
    assert torch.equal(trained.codes, evaluated.codes)
    assert torch.equal(trained.values(), evaluated.values())


@forms
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("in_codes", [False, True])
def test_an_input_that_is_not_a_number_shows(
    signed: bool, inputs: str, training: bool, in_codes: bool
) -> None:
    layer = quantizer(1.3, signed=signed, signed_inputs=inputs, codes=in_codes)
    x = torch.zeros(1, 2, 3, 3)
    x[0, 1, 2, 2] = torch.nan
    with torch.set_grad_enabled(training):
        values = values_of(layer(x, at(4)))
    assert values.isnan().all() if in_codes else values[0, 1, 2, 2].isnan()


@gradients
@forms
def test_an_infinite_input_is_clipped_as_on_the_path_of_values(
    gradient: str, signed: bool, inputs: str
) -> None:
    x, upstream = torch.tensor([torch.inf, 3e38, 0.9, -3e38, -torch.inf]), torch.arange(1.0, 6)
    settings = {"signed": signed, "signed_inputs": inputs, "gradient": gradient}
    layer = quantizer(1.3, **settings, codes=False)
    given = x.clone().requires_grad_()
    expected = layer(given, at(4))
    expected.backward(upstream)
    _, values, grad_x, grad_alpha = encoded(quantizer(1.3, **settings), 4, x, upstream)
    torch.testing.assert_close(values, expected.detach())
    torch.testing.assert_close(grad_x, given.grad)
    torch.testing.assert_close(grad_alpha, layer.clip_levels.at(at(4)).grad)


@forms
def test_a_clip_level_that_is_not_a_number_shows(signed: bool, inputs: str) -> None:
    layer = quantizer(torch.nan, signed=signed, signed_inputs=inputs)
    assert layer(torch.zeros(1, 2, 3, 3), at(4)).values().isnan().all()
