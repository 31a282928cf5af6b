"""Independent: the golden vectors of Bit-Mixer Eq. 1-2, in float64."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from models.precision import Precision
from models.quantizers.lsq import LsqFloorSettings, LsqFloorWeight
from tests.models.precisions import Bound

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
