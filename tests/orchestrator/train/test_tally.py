from dataclasses import replace
from functools import partial

import pytest
import torch

from orchestrator.errors import Diverged
from orchestrator.train.ranks import Ranks
from orchestrator.train.tally import Tally
from tests.orchestrator.train.thread_ranks import Meeting

CPU = torch.device("cpu")
NAMES = ("8bit", "2bit")


def filled() -> Tally:
    tally = Tally(NAMES, CPU)
    for loss in (1.0, 3.0):
        tally.add("8bit", torch.tensor(loss), None)
        tally.add("2bit", torch.tensor(2 * loss), "8bit")
    tally.samples = 8
    tally.broken = {"a.jpg": "torn"}
    return tally


def test_losses_are_means_over_the_passes() -> None:
    assert filled().mean_losses(Ranks()) == {"8bit": 2.0, "2bit": 4.0}


def test_teacher_shares_of_a_student_add_up_to_one() -> None:
    tally = filled()
    tally.add("2bit", torch.tensor(1.0), "4bit")
    assert tally.teacher_shares() == {
        ("2bit", "8bit"): pytest.approx(2 / 3),
        ("2bit", "4bit"): pytest.approx(1 / 3),
    }


def test_a_tally_goes_on_from_its_state() -> None:
    tally = Tally(NAMES, CPU)
    tally.restore([filled().state()], rank=0, world=1)
    tally.add("8bit", torch.tensor(5.0), None)
    assert tally.mean_losses(Ranks()) == {"8bit": 3.0, "2bit": 4.0}
    assert tally.teacher_shares() == {("2bit", "8bit"): 1.0}
    assert tally.samples == 8
    assert tally.broken == {"a.jpg": "torn"}


def test_the_share_that_is_spent_waiting_for_data_goes_on_too() -> None:
    tally = Tally(NAMES, CPU)
    tally.restore([replace(filled().state(), seconds=4.0, waited=3.0)], rank=0, world=1)
    assert tally.data_share == pytest.approx(0.75, abs=0.01)
    tally.waited += 1
    assert tally.state().waited == 4.0


def test_with_fewer_ranks_the_first_takes_the_sums_of_all() -> None:
    tally = Tally(NAMES, CPU)
    tally.restore([filled().state(), filled().state()], rank=0, world=1)
    assert tally.mean_losses(Ranks()) == {"8bit": 2.0, "2bit": 4.0}
    assert tally.samples == 8
    other = Tally(NAMES, CPU)
    other.restore([filled().state()], rank=1, world=2)
    assert other.teacher_shares() == {}


def test_passes_of_another_size_count_by_their_samples() -> None:
    tally = Tally(NAMES, CPU)
    tally.restore([filled().state()], rank=0, world=1, each=8.0)  # passes of 8 samples, now of 1
    for _ in range(16):  # as many samples as before
        tally.add("8bit", torch.tensor(0.0), None)
        tally.add("2bit", torch.tensor(0.0), "4bit")
    assert tally.mean_losses(Ranks()) == {"8bit": 1.0, "2bit": 2.0}
    assert tally.teacher_shares() == {("2bit", "8bit"): 0.5, ("2bit", "4bit"): 0.5}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_is_named_with_its_point(value: float) -> None:
    tally = filled()
    tally.add("2bit", torch.tensor(value), "8bit")
    with pytest.raises(Diverged, match="at 2bit is no longer"):
        tally.mean_losses(Ranks())


def test_a_point_that_did_not_run_has_no_loss_and_is_no_divergence() -> None:
    tally = Tally(NAMES, CPU)
    tally.add("8bit", torch.tensor(1.5), None)
    assert tally.mean_losses(Ranks()) == tally.local_losses() == {"8bit": 1.5}
    assert Tally(NAMES, CPU).mean_losses(Ranks()) == {}


def test_a_point_that_ran_on_another_rank_only_has_its_loss_on_all() -> None:
    meeting = Meeting(2)
    ranks, tallies = meeting.ranks(), [Tally(NAMES, CPU) for _ in range(2)]
    tallies[1].add("2bit", torch.tensor(3.0), None)
    programs = [
        partial(tally.mean_losses, rank) for tally, rank in zip(tallies, ranks, strict=True)
    ]
    assert meeting.run(programs) == [{"2bit": 3.0}] * 2
