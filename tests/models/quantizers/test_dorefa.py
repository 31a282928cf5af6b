"""Independent: the golden vectors, and DoReFa's equation written out in numpy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from models.quantizers.dorefa import DoReFaWeight
from models.quantizers.truncated import TruncatedWeight
from tests.models.precisions import Bound

Golden = Callable[[str], dict[str, Any]]
weights = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=1, max_dims=4), elements=st.floats(-4, 4, width=32)
)


def rounded(weight: Any) -> Bound:
    return Bound(DoReFaWeight, weight)


def by_the_equation(weight: np.ndarray, bits: int) -> np.ndarray:
    tanh = np.tanh(weight)
    maximum = np.abs(tanh).max()
    x = tanh / (2 * maximum) + 0.5 if maximum > 0 else np.full_like(tanh, 0.5)
    return 2 * np.rint((2**bits - 1) * x) / (2**bits - 1) - 1


@pytest.mark.golden
def test_codes_values_and_gradients_are_the_golden_ones(golden: Golden) -> None:
    data = golden("dorefa_weight")
    for case in data["cases"]:
        for name, expected in case["per_bit"].items():
            weight = torch.tensor(case["w"], dtype=torch.float64, requires_grad=True)
            quantized = rounded(weight)
            values = quantized.values(int(name))
            values.backward(torch.tensor(case["upstream_grad"], dtype=torch.float64))
            assert quantized.codes(int(name)).tolist() == expected["code"]
            for actual, key in ((values.detach(), "w_hat"), (weight.grad, "grad_w")):
                wanted = torch.tensor(expected[key], dtype=torch.float64)
                torch.testing.assert_close(actual, wanted, rtol=0, atol=data["abs"])


@pytest.mark.golden
def test_rounded_codes_are_the_golden_ones(golden: Golden) -> None:
    for case in golden("levels")["cases"]:
        # x = tanh(w)/2 + 1/2 if the largest |tanh(w)| is 1: a last weight sees to that.
        tanh = 2 * torch.tensor([*case["x"], 1.0], dtype=torch.float64) - 1
        codes = rounded(torch.atanh(tanh)).codes(case["b"])[:-1]
        safe = ~torch.tensor(case["round_tie"])
        assert torch.equal(codes[safe], torch.tensor(case["round_code"])[safe])


@given(weight=weights, bits=st.integers(1, 8))
def test_values_follow_the_equation_and_are_monotone(weight: np.ndarray, bits: int) -> None:
    values = rounded(weight).values(bits).numpy()
    np.testing.assert_allclose(values, by_the_equation(weight, bits), atol=1e-12)
    assert (np.diff(values.flatten()[weight.flatten().argsort()]) >= 0).all()


@given(weight=weights, teacher=st.integers(1, 8), student=st.integers(1, 8))
def test_distance_is_that_of_the_values(weight: np.ndarray, teacher: int, student: int) -> None:
    gaps = by_the_equation(weight, teacher) - by_the_equation(weight, student)
    distance = rounded(weight).distance(teacher, student)
    assert distance.item() == pytest.approx(np.abs(gaps).mean(), abs=1e-12)


def test_a_zero_weight_rounds_up_since_zero_is_no_level() -> None:
    weight = torch.tensor([0.0, 1.0])
    assert rounded(weight).values(2)[0] == pytest.approx(1 / 3)


def test_at_the_highest_bit_width_truncation_and_rounding_agree() -> None:
    weight = torch.randn(100, dtype=torch.float64)
    truncated = Bound(TruncatedWeight, weight)
    torch.testing.assert_close(rounded(weight).values(8), truncated.values(8))
