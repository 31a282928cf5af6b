"""What the one all-reduce of a step carries besides the gradients."""

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models.quantizers.moving_range import MovingRange
from orchestrator.errors import Diverged
from orchestrator.train import gradients as module
from orchestrator.train.gradients import average_norm_statistics, gradients_of
from tests.orchestrator.train.rank_programs import (
    average_drawn_gradients,
    drawn_gradient,
    run_ranks,
)
from tests.orchestrator.train.thread_ranks import Meeting, ThreadRanks, Twins

LOSS = torch.zeros(())


def average(losses: tuple[float, float], gradients: tuple[float, float]) -> list[float | str]:
    """Average one gradient over two ranks; return it, or what was raised, for each of them."""
    meeting = Meeting(2)

    def run(ranks: ThreadRanks) -> float | str:
        parameter = nn.Parameter(torch.zeros(()))
        parameter.grad = torch.tensor(gradients[ranks.rank])
        loss = torch.tensor(losses[ranks.rank])
        try:
            gradients_of([parameter], ranks).average(stop=False, loss=loss)
        except Diverged as error:
            return str(error)
        return parameter.grad.item()

    return meeting.run([partial(run, ranks) for ranks in meeting.ranks()])


def test_ranks_get_the_mean_of_finite_gradients() -> None:
    assert average((0.5, 0.5), (3.0, 1.0)) == [2.0, 2.0]


@pytest.mark.parametrize(
    ("losses", "gradients"),
    [
        ((0.5, float("inf")), (1.0, 1.0)),
        ((float("nan"), 0.5), (1.0, 1.0)),
        ((0.5, 0.5), (float("nan"), 1.0)),
        ((0.5, 0.5), (float("inf"), float("-inf"))),
    ],
)
def test_a_number_that_is_not_finite_on_one_rank_ends_all_of_them_in_the_same_step(
    losses: tuple[float, float], gradients: tuple[float, float]
) -> None:
    first, second = average(losses, gradients)
    assert "no longer finite" in str(first)
    assert first == second


def parameters(*gradients: float | None) -> list[nn.Parameter]:
    """Parameters of two numbers each, with a gradient or none."""
    made = [nn.Parameter(torch.zeros(2)) for _ in gradients]
    for parameter, value in zip(made, gradients, strict=True):
        parameter.grad = None if value is None else torch.full((2,), float(value))
    return made


def averaged(*ranks: tuple[list[nn.Parameter], bool]) -> list[bool]:
    """Average over the ranks, each with its parameters and its wish to stop; return the answers."""
    meeting = Meeting(len(ranks))

    def program(rank: ThreadRanks, own: list[nn.Parameter], stop: bool) -> bool:
        return gradients_of(own, rank).average(stop=stop, loss=LOSS)

    return meeting.run(
        [
            lambda rank=rank, own=own, stop=stop: program(rank, own, stop)
            for rank, (own, stop) in zip(meeting.ranks(), ranks, strict=True)
        ]
    )


def test_each_gradient_becomes_the_mean_over_the_ranks_and_an_unused_one_stays_away() -> None:
    first, second, third = parameters(1, None, 5), parameters(2, None, 7), parameters(6, None, 0)
    averaged((first, False), (second, False), (third, False))
    for own in (first, second, third):
        assert [None if p.grad is None else p.grad.tolist() for p in own] == [[3, 3], None, [4, 4]]


@pytest.mark.filterwarnings("ignore:.*torch.distributed.*:FutureWarning")
@pytest.mark.parametrize("world", [2, 3])
def test_processes_average_in_place_chunk_by_chunk(world: int, tmp_path: Path) -> None:
    used = [(0, 1, 3, 4), (0, 2, 3)]
    program = partial(average_drawn_gradients, used=used, stop_of=world - 1)
    ranks = run_ranks(world, tmp_path / "ranks", program)
    for step, numbers in enumerate(used):
        for means, places, stop in (left[step] for left in ranks):
            assert (places, stop) == (1, step == 1)
            assert [n for n, mean in enumerate(means) if mean is not None] == list(numbers)
            for number in numbers:
                drawn = [drawn_gradient(rank, step, number) for rank in range(world)]
                torch.testing.assert_close(means[number], torch.stack(drawn).mean(dim=0))
                assert torch.equal(means[number], ranks[0][step][0][number])


def test_a_chunk_is_summed_up_when_it_and_those_before_it_are_complete(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CHUNK", 4)
    twins, own = Twins(), parameters(1, 2, 3, 4, 5)
    gradients = module.FlatGradients(own, twins)
    for _step in range(2):
        twins.sizes.clear()
        begun = []
        for number in (0, 2, 3, 1):
            gradients.complete(own[number])
            begun.append(len(twins.sizes))
        assert begun == [0, 0, 0, 2]
        gradients.average(stop=False, loss=LOSS)
        assert twins.sizes == [4, 4, 2 + len(own) + 2]
        assert [p.grad.tolist() for p in own] == [[n, n] for n in (1, 2, 3, 4, 5)]


@pytest.mark.parametrize("asking", [None, 0, 1])
def test_all_ranks_stop_when_one_asks_to(asking: int | None) -> None:
    answers = averaged(*((parameters(1), rank == asking) for rank in range(2)))
    assert answers == [asking is not None] * 2


@pytest.mark.parametrize("other", [(1.0, 1.0), (None, 1.0), (None, None)])
def test_ranks_that_used_different_parameters_have_drifted_apart(
    other: tuple[float | None, ...],
) -> None:
    with pytest.raises(RuntimeError, match="used different parameters"):
        averaged((parameters(1.0, None), False), (parameters(*other), False))


def network(value: float, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    made = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.BatchNorm2d(2)).to(dtype)
    for number, norm in enumerate(made[1:]):
        norm.running_mean.fill_(value + number)
        norm.running_var.fill_(10 * value + number)
        norm.num_batches_tracked.fill_(7)
    return made


def test_running_means_and_variances_become_their_means_over_the_ranks() -> None:
    meeting = Meeting(2)
    networks = [network(1.0), network(4.0)]
    meeting.run(
        [
            lambda rank=rank, own=own: average_norm_statistics(own, rank)
            for rank, own in zip(meeting.ranks(), networks, strict=True)
        ]
    )
    for own in networks:
        assert statistics(own) == [(2.5, 25.0, 7), (3.5, 26.0, 7)]


def test_the_moving_ranges_of_quantizers_become_their_means_over_the_ranks() -> None:
    meeting, ranges = Meeting(2), [MovingRange(), MovingRange()]
    for own, low in zip(ranges, (-1.0, -4.0), strict=True):
        own.low.fill_(low)
    meeting.run(
        [
            lambda rank=rank, own=own: average_norm_statistics(nn.Sequential(own), rank)
            for rank, own in zip(meeting.ranks(), ranges, strict=True)
        ]
    )
    assert [(own.low, own.high) for own in ranges] == [(-2.5, 0)] * 2


def statistics(network: nn.Sequential) -> list[tuple[float, float, int]]:
    def one(values: Tensor | None) -> float:
        assert values is not None
        assert len(set(values.flatten().tolist())) == 1
        return values.flatten()[0].item()

    return [
        (one(norm.running_mean), one(norm.running_var), int(one(norm.num_batches_tracked)))
        for norm in network[1:]
    ]
