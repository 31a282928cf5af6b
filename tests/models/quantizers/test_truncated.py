"""Independent: the golden vectors, and CoQuant Eq. 3-5 written out in numpy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.nn import functional as F

from models.quantizers.truncated import TruncatedSettings, TruncatedWeight
from tests.far_device import FAR, far_device
from tests.models.precisions import Bound

Golden = Callable[[str], dict[str, Any]]
weights = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=1, max_dims=4), elements=st.floats(-4, 4, width=32)
)


def truncated(weight: Any, code_bits: int = 8, **settings: Any) -> Bound:
    return Bound(TruncatedWeight, weight, code_bits, **settings)


def align_scale(bound: Bound, bits: int) -> float:
    assert isinstance(bound.quantizer, TruncatedWeight)
    return bound.quantizer.align_scale(bound.weight, bits).item()


def by_the_equations(weight: np.ndarray, code_bits: int, bits: int) -> np.ndarray:
    """CoQuant Eq. 3-5, means taken in [0,1]."""
    tanh = np.tanh(weight)
    maximum = np.abs(tanh).max()
    x = tanh / (2 * maximum) + 0.5 if maximum > 0 else np.full_like(tanh, 0.5)
    top, dropped = 2**code_bits - 1, 2 ** (code_bits - bits)
    high = np.rint(top * x)
    z = np.floor(high / dropped) * dropped / top
    scale = (high / top).mean() / z.mean() if z.mean() > 0 else 1.0
    return 2 * scale * z - 1


@pytest.mark.golden
def test_codes_values_and_gradients_are_the_golden_ones(golden: Golden) -> None:
    data = golden("coquant_weight")
    for case in data["cases"]:
        for name, expected in case["per_bit"].items():
            bits = int(name)
            weight = torch.tensor(case["w"], dtype=torch.float64, requires_grad=True)
            quantized = truncated(weight, case["b1"])
            values = quantized.values(bits)
            values.backward(torch.tensor(case["upstream_grad"], dtype=torch.float64))
            assert quantized.codes(case["b1"]).tolist() == case["H"]
            assert quantized.codes(bits).tolist() == expected["code"]
            assert align_scale(quantized, bits) == pytest.approx(
                expected["align_scale"], abs=data["abs"]
            )
            near(values, expected["w_hat"], data["abs"])
            near(weight.grad, expected["grad_w"], data["abs"])


@pytest.mark.golden
def test_gain_and_offset_of_the_codes_are_the_golden_ones_and_give_the_golden_values(
    golden: Golden,
) -> None:
    data = golden("coquant_weight")
    for case in data["cases"]:
        quantized = truncated(torch.tensor(case["w"], dtype=torch.float64), case["b1"])
        for name, expected in case["per_bit"].items():
            levels = quantized.levels(int(name))
            gain, offset = levels.gain, levels.offset
            near(gain, expected["dequant_gain"], data["abs"])
            near(offset, expected["dequant_offset"], data["abs"])
            values = gain * quantized.codes(int(name)) + offset
            near(values, expected["w_hat"], data["abs"])
            near(values.mean(), expected["mean_w_hat"], data["abs"])


@pytest.mark.golden
def test_a_convolution_with_the_golden_weights_is_one_with_codes_and_one_with_ones(
    golden: Golden,
) -> None:
    """conv(x, W) = alpha/n (gain conv(q, k) + offset conv(q, 1)), padding included."""
    for case in golden("coquant_weight")["cases"]:
        if np.ndim(case["w"]) != 4:
            continue
        for name, expected in case["per_bit"].items():
            values = torch.tensor(expected["w_hat"], dtype=torch.float64)
            codes = torch.tensor(expected["code"], dtype=torch.float64)
            top, alpha = 2 ** int(name) - 1, 1.7
            inputs = torch.randint(top + 1, (2, values.shape[1], 5, 5)).double()
            gain, offset = expected["dequant_gain"], expected["dequant_offset"]
            by_codes = gain * F.conv2d(inputs, codes, padding=1)
            by_codes += offset * F.conv2d(inputs, torch.ones_like(codes), padding=1)
            by_values = F.conv2d(alpha / top * inputs, values, padding=1)
            torch.testing.assert_close(alpha / top * by_codes, by_values, rtol=0, atol=1e-10)


@pytest.mark.golden
def test_the_alignment_factor_can_enter_the_golden_gradient(golden: Golden) -> None:
    data = golden("coquant_weight")
    for case in data["cases"]:
        for bits, expected in case["per_bit"].items():
            weight = torch.tensor(case["w"], dtype=torch.float64, requires_grad=True)
            quantized = truncated(weight, case["b1"], align_scale_in_backward=True)
            values = quantized.values(int(bits))
            values.backward(torch.tensor(case["upstream_grad"], dtype=torch.float64))
            near(weight.grad, expected["grad_w_if_scale_in_backward"], data["abs"])


@pytest.mark.golden
def test_truncated_codes_are_the_golden_ones(golden: Golden) -> None:
    for case in golden("levels")["truncation_cases"]:
        # x = tanh(w)/2 + 1/2 if the largest |tanh(w)| is 1: a last weight sees to that.
        tanh = 2 * torch.tensor([*case["x"], 1.0], dtype=torch.float64) - 1
        quantized = truncated(torch.atanh(tanh), case["b1"])
        safe = ~torch.tensor(case["tie"])
        for bits, expected in case["per_bit"].items():
            codes = quantized.codes(int(bits))[:-1]
            assert torch.equal(codes[safe], torch.tensor(expected["code"])[safe])


def near(actual: torch.Tensor | None, expected: Any, tolerance: float) -> None:
    assert actual is not None
    expected = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(actual.detach(), expected, rtol=0, atol=tolerance)


@given(weight=weights, code_bits=st.integers(1, 8), data=st.data())
def test_values_follow_the_equations(weight: np.ndarray, code_bits: int, data: Any) -> None:
    bits = data.draw(st.integers(1, code_bits))
    values = truncated(weight, code_bits).values(bits)
    np.testing.assert_allclose(
        values.numpy(), by_the_equations(weight, code_bits, bits), atol=1e-12
    )


@given(weight=weights, bits=st.integers(1, 8))
def test_codes_are_monotone_and_are_the_stored_code_with_bits_dropped(
    weight: np.ndarray, bits: int
) -> None:
    quantized = truncated(weight)
    codes = quantized.codes(bits)
    assert torch.equal(codes, quantized.codes(8) >> (8 - bits))
    assert codes.max() <= 2**bits - 1
    ordered = codes.flatten()[torch.as_tensor(weight).flatten().argsort()].int()
    assert (ordered.diff() >= 0).all()


@given(weight=weights, teacher=st.integers(1, 8), student=st.integers(1, 8))
def test_distance_from_the_histogram_is_the_distance_of_the_values(
    weight: np.ndarray, teacher: int, student: int
) -> None:
    gaps = by_the_equations(weight, 8, teacher) - by_the_equations(weight, 8, student)
    distance = truncated(weight).distance(teacher, student)
    assert distance.item() == pytest.approx(np.abs(gaps).mean(), abs=1e-12)


def test_two_bit_weights_have_four_levels() -> None:
    weight = torch.randn(64, 64)
    assert len(truncated(weight).values(2).unique()) == 4


def test_gaussian_weights_keep_their_mean_and_need_the_known_factor_at_two_bits() -> None:
    weight = torch.randn(256, 256, dtype=torch.float64)
    quantized = truncated(weight)
    assert 1.30 < align_scale(quantized, 2) < 1.36
    mean = quantized.values(8).mean().item()
    for bits in (6, 4, 2):
        assert quantized.values(bits).mean().item() == pytest.approx(mean, abs=1e-7)


def test_alignment_can_be_left_out() -> None:
    weight = torch.randn(64, dtype=torch.float64)
    quantized = truncated(weight, align_domain="none")
    expected = 2 * (quantized.codes(8) >> 6).double() * 64 / 255 - 1
    torch.testing.assert_close(quantized.values(2), expected)


def test_an_all_zero_weight_gets_no_gradient() -> None:
    weight = torch.zeros(3, 3, requires_grad=True)
    truncated(weight).values(4).sum().backward()
    assert torch.equal(weight.grad, torch.zeros(3, 3))


@pytest.mark.parametrize("bits", [8, 2])
def test_a_weight_that_is_not_a_number_shows_in_every_value(bits: int) -> None:
    weight = torch.tensor([1.0, float("nan"), 0.5])
    assert truncated(weight).values(bits).isnan().all()


def test_autocast_does_not_flip_codes() -> None:
    weight = torch.randn(1000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = truncated(weight).values(4)
    assert torch.equal(inside, truncated(weight).values(4))


def test_where_counting_codes_would_wait_for_the_device_scales_and_distances_are_the_same() -> None:
    weight = torch.randn(5, 7)
    near_scale, near_gap = scale_and_gap(weight)
    with far_device() as waits:
        far = weight.to(FAR)
        waits.clear()
        far_scale, far_gap = scale_and_gap(far)
        assert waits == []
        assert torch.equal(near_scale, far_scale.cpu())
        assert torch.equal(near_gap, far_gap.cpu())


def scale_and_gap(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    quantizer = TruncatedWeight(TruncatedSettings(), (8, 2), 8)
    return quantizer.align_scale(weight, 2), quantizer.distance(weight, 8, 2)
