"""Independent: the formula written out and differentiated by autograd, and the symmetric form."""

import pytest
import torch
from torch import Tensor

from models.quantizers.pact import Pact, PactSettings
from tests.models.precisions import at
from tests.models.quantizers.straight_through import straight_through

gradients = pytest.mark.parametrize("gradient", ["pact", "calibrated"])


def quantizer(alpha: float, beta: float, gradient: str, floor: float = 1e-3) -> Pact:
    settings = PactSettings(signed_inputs="two_sided", gradient=gradient, floor=floor)
    layer = Pact(settings, ["3bit"], signed=True).double()
    with torch.no_grad():
        layer.clip_levels["3bit"].fill_(alpha)
        layer.lower_clip_levels["3bit"].fill_(beta)
    return layer


def written_out(x: Tensor, alpha: Tensor, beta: Tensor, gradient: str) -> Tensor:
    clipped = torch.where(x > alpha, alpha, torch.where(x < -beta, -beta, x))
    width = alpha + beta
    unit = (clipped + beta) / width
    if gradient == "pact":
        rounded = width * (7 * unit).round() / 7 - beta
        return clipped + (rounded - clipped).detach()
    return width * straight_through(torch.round, 7 * unit) / 7 - beta


@gradients
@pytest.mark.parametrize(("alpha", "beta"), [(2.0, 0.7), (0.4, 3.0)])
def test_values_and_gradients_are_those_of_the_formula(
    alpha: float, beta: float, gradient: str
) -> None:
    layer = quantizer(alpha, beta, gradient)
    x = (4 * torch.randn(500, dtype=torch.float64)).requires_grad_()
    levels = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (alpha, beta)]
    expected, values = written_out(x, levels[0], levels[1], gradient), layer(x, at(3))
    torch.testing.assert_close(values, expected)
    upstream = torch.randn_like(values)
    own = torch.autograd.grad(values, (x, *layer.parameters()), upstream)
    torch.testing.assert_close(own, torch.autograd.grad(expected, (x, *levels), upstream))


@gradients
def test_equal_levels_are_the_symmetric_form_whose_gradient_is_the_sum(gradient: str) -> None:
    layer = quantizer(1.25, 1.25, gradient)
    symmetric = Pact(
        PactSettings(clip_init=1.25, gradient=gradient), ["3bit"], signed=True
    ).double()
    x = torch.tensor([-2, -1.25, -0.4, 0, 0.9, 1.25, 2], dtype=torch.float64, requires_grad=True)
    values, expected = layer(x, at(3)), symmetric(x, at(3))
    torch.testing.assert_close(values, expected)
    upstream = torch.arange(1, 8, dtype=torch.float64)
    grad_x, upper, lower = torch.autograd.grad(values, (x, *layer.parameters()), upstream)
    wanted_x, wanted = torch.autograd.grad(expected, (x, *symmetric.parameters()), upstream)
    torch.testing.assert_close((grad_x, upper + lower), (wanted_x, wanted))


def test_levels_below_the_floor_act_as_the_floor_and_can_recover() -> None:
    layer = quantizer(-1.0, 0.0, "pact", floor=0.01)
    x = torch.tensor([-5.0, 5.0], dtype=torch.float64)
    values = layer(x, at(3))
    assert values.tolist() == pytest.approx([-0.01, 0.01])
    values.backward(torch.tensor([-2.0, 3.0], dtype=torch.float64))
    assert [p.grad for p in layer.parameters()] == [3.0, 2.0]


def test_each_side_starts_at_the_largest_input_of_its_own() -> None:
    settings = PactSettings(signed_inputs="two_sided", clip_start="data")
    layer = Pact(settings, ["8bit", "3bit"], signed=True)
    layer.start(torch.tensor([-0.5, 0.1, 2.5]), at(3))
    assert layer.clip_levels["3bit"] == 2.5
    assert layer.lower_clip_levels["3bit"] == 0.5
    assert layer.clip_levels["8bit"] == 0
    assert layer.waits_for_data
