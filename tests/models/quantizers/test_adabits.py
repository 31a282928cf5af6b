"""Independent: the golden vectors, and AdaBits Eq. 1-4 written out."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from models.quantizers.adabits import AdaBitsWeight
from models.quantizers.dorefa import DoReFaWeight
from tests.models.precisions import Bound

Golden = Callable[[str], dict[str, Any]]
SCHEMES = ("original", "modified", "centered")


def float64(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def linear(values: Any) -> Tensor:
    """As the weight of a linear layer: (outputs, inputs)."""
    return float64(values).flatten(1)


@pytest.mark.golden
@pytest.mark.parametrize("scheme", SCHEMES)
def test_values_scales_and_gradients_are_the_golden_ones(golden: Golden, scheme: str) -> None:
    data = golden("adabits_weight")
    for case in data["cases"]:
        upstream = linear(case["upstream_grad"])
        for name, of_bits in case["per_bit"].items():
            expected, grad = of_bits[scheme], linear(of_bits["grad_w"])
            scale = expected["sat_scale_nout"]
            for rescale, values, factor in (("none", "q", 1), ("head", "q_sat", scale)):
                weight = linear(case["w"]).requires_grad_()
                bound = Bound(AdaBitsWeight, weight, scheme=scheme, rescale=rescale)
                quantized = bound.values(int(name))
                (actual,) = torch.autograd.grad(quantized, weight, upstream)
                close = {"rtol": 0, "atol": 10 * data["abs"]}
                torch.testing.assert_close(quantized, linear(expected[values]), **close)
                torch.testing.assert_close(actual, factor * grad, **close)
                of_levels = bound.levels(int(name)).values(torch.float64)
                torch.testing.assert_close(of_levels, linear(expected[values]), **close)


@pytest.mark.golden
def test_clamped_float_weights_are_the_golden_ones(golden: Golden) -> None:
    data = golden("adabits_weight")
    for case in data["cases"]:
        clamped = linear(case["clamped_fp"])
        for rescale, scale in (("none", 1.0), ("head", case["clamped_fp_sat_scale"])):
            bound = Bound(AdaBitsWeight, linear(case["w"]), clamp_float=True, rescale=rescale)
            values = bound.quantizer.float_weight(bound.weight)
            torch.testing.assert_close(values, scale * clamped, rtol=0, atol=10 * data["abs"])


@pytest.mark.golden
def test_codes_rounded_down_are_the_golden_ones_at_one_as_well(golden: Golden) -> None:
    for case in golden("levels")["cases"]:
        # x = tanh(w)/2 + 1/2 if the largest |tanh(w)| is 1: a last weight sees to that.
        tanh = 2 * float64([*case["x"], 1.0]) - 1
        safe = ~torch.tensor(case["floor_edge"]) | (tanh[:-1] == 1)
        for scheme, key in (("modified", "floor_value"), ("centered", "centered_value")):
            bound = Bound(AdaBitsWeight, torch.atanh(tanh), scheme=scheme)
            codes, values = bound.codes(case["b"])[:-1], bound.values(case["b"])[:-1]
            assert torch.equal(codes[safe], torch.tensor(case["floor_code"])[safe])
            expected = 2 * float64(case[key]) - 1
            torch.testing.assert_close(values[safe], expected[safe], rtol=0, atol=1e-12)


@pytest.mark.parametrize("scheme", ["modified", "centered"])
@pytest.mark.parametrize("code_bits", [8, 4])
def test_low_bit_widths_are_the_stored_codes_with_bits_dropped(scheme: str, code_bits: int) -> None:
    """Theorem 1, the largest weight (x = 1) included."""
    bound = Bound(AdaBitsWeight, torch.randn(40, 40), code_bits, scheme=scheme)
    top = bound.weight.abs().argmax()
    bound.weight.view(-1)[top] = bound.weight.abs().max()
    stored = bound.codes(code_bits)
    for bits in range(1, code_bits + 1):
        assert torch.equal(bound.codes(bits), stored >> (code_bits - bits))
        assert bound.codes(bits).view(-1)[top] == 2**bits - 1
    tanh = bound.weight.double().tanh()
    naive = (2**code_bits * (tanh / (2 * tanh.abs().max()) + 0.5)).floor()
    assert (stored.double() - naive.clamp(max=2**code_bits - 1)).abs().mean() < 1e-3


def test_the_original_scheme_is_dorefas() -> None:
    weight = torch.randn(30, 20)
    ours = Bound(AdaBitsWeight, weight, scheme="original", rescale="none")
    for bits in (8, 2, 1):
        assert torch.equal(ours.values(bits), Bound(DoReFaWeight, weight).values(bits))


@pytest.mark.parametrize(("rescale", "rescaled"), [("none", ""), ("head", "2"), ("all", "24")])
def test_weights_are_rescaled_where_the_setting_says(rescale: str, rescaled: str) -> None:
    for shape, outputs in (((6, 50), 6), ((6, 5, 3, 3), 6 * 9)):
        weight = torch.randn(shape, dtype=torch.float64)
        plain = Bound(AdaBitsWeight, weight, rescale="none")
        bound = Bound(AdaBitsWeight, weight, rescale=rescale)
        for bits in (4, 2):
            expected = plain.values(bits)
            if str(len(shape)) in rescaled:
                expected = expected / (outputs * expected.var(correction=1)).sqrt()
            torch.testing.assert_close(bound.values(bits), expected)


def test_the_scale_is_the_same_in_training_and_in_evaluation() -> None:
    training = Bound(AdaBitsWeight, torch.randn(6, 50))
    evaluated = Bound(AdaBitsWeight, training.weight)
    evaluated.quantizer.eval()
    assert torch.equal(evaluated.values(2), training.values(2))


def test_equal_weights_are_not_rescaled() -> None:
    bound = Bound(AdaBitsWeight, torch.zeros(4, 5), scheme="centered")
    assert (bound.values(2) == 0.25).all()


@pytest.mark.parametrize("rescale", ["none", "head"])
def test_clamped_float_weights_have_the_gradient_of_the_formula(rescale: str) -> None:
    weight = torch.randn(4, 9, dtype=torch.float64, requires_grad=True)
    bound = Bound(AdaBitsWeight, weight, clamp_float=True, rescale=rescale)
    values = bound.quantizer.float_weight(weight)
    expected = weight.tanh() / weight.tanh().abs().max()
    if rescale == "head":
        expected = expected / (4 * expected.var().detach()).sqrt()
    torch.testing.assert_close(values, expected)
    upstream = torch.randn_like(values)
    (actual,) = torch.autograd.grad(values, weight, upstream)
    (wanted,) = torch.autograd.grad(expected, weight, upstream)
    torch.testing.assert_close(actual, wanted)


def test_float_weights_stay_as_they_are_unless_they_are_clamped() -> None:
    bound = Bound(AdaBitsWeight, torch.randn(4, 9))
    assert bound.quantizer.float_weight(bound.weight) is bound.weight
