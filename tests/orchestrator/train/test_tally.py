import pytest
import torch

from orchestrator.errors import Diverged
from orchestrator.train.ranks import Ranks
from orchestrator.train.tally import Tally

CPU = torch.device("cpu")


def filled() -> Tally:
    tally = Tally((8, 2), CPU)
    for loss in (1.0, 3.0):
        tally.add(8, torch.tensor(loss), None)
        tally.add(2, torch.tensor(2 * loss), 8)
    tally.samples = 8
    tally.broken = {"a.jpg": "torn"}
    return tally


def test_losses_are_means_over_the_passes() -> None:
    assert filled().mean_losses(Ranks()) == {8: 2.0, 2: 4.0}


def test_teacher_shares_of_a_student_add_up_to_one() -> None:
    tally = filled()
    tally.add(2, torch.tensor(1.0), 4)
    assert tally.teacher_shares() == {(2, 8): pytest.approx(2 / 3), (2, 4): pytest.approx(1 / 3)}


def test_a_tally_goes_on_from_its_state() -> None:
    tally = Tally((8, 2), CPU)
    tally.restore([filled().state()], rank=0, world=1)
    tally.add(8, torch.tensor(5.0), None)
    assert tally.mean_losses(Ranks()) == {8: 3.0, 2: 4.0}
    assert tally.teacher_shares() == {(2, 8): 1.0}
    assert tally.samples == 8
    assert tally.broken == {"a.jpg": "torn"}


def test_with_fewer_ranks_the_first_takes_the_sums_of_all() -> None:
    tally = Tally((8, 2), CPU)
    tally.restore([filled().state(), filled().state()], rank=0, world=1)
    assert tally.mean_losses(Ranks()) == {8: 2.0, 2: 4.0}
    assert tally.samples == 8
    other = Tally((8, 2), CPU)
    other.restore([filled().state()], rank=1, world=2)
    assert other.teacher_shares() == {}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_is_told_with_its_bit_width(value: float) -> None:
    tally = filled()
    tally.add(2, torch.tensor(value), 8)
    with pytest.raises(Diverged, match="at 2 bits"):
        tally.mean_losses(Ranks())
