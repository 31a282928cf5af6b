"""Independent: the integer arithmetic of Jacob et al. written out in numpy."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.precision import Precision
from models.quantizers.moving_range import MovingRangeActivation, MovingRangeSettings
from tests.models.precisions import at


def quantizer(*names: str, signed: bool = True) -> MovingRangeActivation:
    return MovingRangeActivation(MovingRangeSettings(), names, signed=signed)


def written_out(x: NDArray[np.float64], low: float, high: float, bits: int) -> NDArray[np.float64]:
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / (2**bits - 1)
    zero = np.rint(-low / scale)
    codes = np.clip(np.rint(x / scale) + zero, 0, 2**bits - 1)
    values: NDArray[np.float64] = scale * (codes - zero)
    return values


@pytest.mark.parametrize("bits", [8, 4, 1])
@pytest.mark.parametrize(("low", "high"), [(-1.3, 2.0), (0.5, 2.0), (-3.0, -1.0)])
def test_values_are_those_of_the_formula_and_0_stays_0(bits: int, low: float, high: float) -> None:
    made = quantizer(f"{bits}bit").double()
    x = torch.linspace(low, high, 300, dtype=torch.float64)
    np.testing.assert_allclose(made(x, at(bits)), written_out(x.numpy(), low, high, bits))
    made.eval()
    wide = torch.linspace(-9, 9, 300, dtype=torch.float64)
    np.testing.assert_allclose(made(wide, at(bits)), written_out(wide.numpy(), low, high, bits))
    assert made(torch.zeros(1, dtype=torch.float64), at(bits)) == 0


def test_the_first_batch_begins_the_range_and_others_move_it_by_a_hundredth() -> None:
    made = quantizer("8bit", "4bit")
    made(torch.tensor([-1.0, 2.0]), at(8))
    made(torch.tensor([-3.0, 1.0]), at(8))
    seen = made.ranges["8bit"]
    assert (seen.low.item(), seen.high.item()) == pytest.approx((-1.02, 1.99))
    assert made.ranges["4bit"].high == 0


def test_an_evaluation_and_frozen_statistics_leave_the_range_alone() -> None:
    made = quantizer("8bit")
    made(torch.tensor([-1.0, 2.0]), at(8))
    before = made.ranges["8bit"].high.item()
    made.eval()
    made(torch.tensor([9.0]), at(8))
    made.train()
    made.ranges["8bit"].track_running_stats = False
    made(torch.tensor([9.0]), at(8))
    assert made.ranges["8bit"].high.item() == before


def test_a_gradient_passes_from_the_lowest_level_to_the_highest() -> None:
    made = quantizer("2bit").double()
    made(torch.tensor([-1.0, 2.0], dtype=torch.float64), at(2))
    made.eval()
    x = torch.tensor([-1.01, -1, 0, 2, 2.01], dtype=torch.float64, requires_grad=True)
    made(x, at(2)).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 1, 1, 0]


def test_behind_a_relu_the_range_begins_at_0() -> None:
    made = quantizer("4bit", signed=False)
    made(torch.tensor([-1.0, 2.0]), at(4))
    assert made.ranges["4bit"].low == 0
    made.in_codes = True
    assert made(torch.zeros(1, 1, 1, 1), at(4)).offset is None


def test_what_was_not_seen_yet_can_be_asked_for_without_a_number_getting_lost() -> None:
    made = quantizer("4bit").eval()
    assert made(torch.tensor([1.0, -1.0]), at(4)).isfinite().all()


def test_only_the_ranges_of_some_precisions_are_listed() -> None:
    made = quantizer("8bit", "4bit")
    assert made.ranges.sets_of([Precision(4, 4)]) == [made.ranges["4bit"]]
