"""What the one all-reduce of a step carries besides the gradients."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn

from orchestrator.errors import Diverged
from orchestrator.train.gradients import average_gradients
from orchestrator.train.ranks import Ranks


@dataclass(frozen=True)
class PairedRanks(Ranks):
    """One of two ranks, each in a thread of its own."""

    values: list[Tensor] = field(default_factory=lambda: [torch.empty(0)] * 2)
    barrier: threading.Barrier = field(default_factory=lambda: threading.Barrier(2, timeout=20))

    def sum(self, tensor: Tensor) -> Tensor:
        self.values[self.rank] = tensor
        self.barrier.wait()
        return self.values[0] + self.values[1]


def average(losses: tuple[float, float], gradients: tuple[float, float]) -> list[float | str]:
    """Average one gradient over two ranks; return it, or what was raised, for each of them."""
    first = PairedRanks(0, 2)
    ranks = [first, PairedRanks(1, 2, values=first.values, barrier=first.barrier)]

    def run(rank: int) -> float | str:
        parameter = nn.Parameter(torch.zeros(()))
        parameter.grad = torch.tensor(gradients[rank])
        try:
            average_gradients([parameter], ranks[rank], stop=False, loss=torch.tensor(losses[rank]))
        except Diverged as error:
            return str(error)
        return parameter.grad.item()

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(run, range(2)))


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
def test_a_number_that_is_none_on_one_rank_ends_all_of_them_in_the_same_step(
    losses: tuple[float, float], gradients: tuple[float, float]
) -> None:
    first, second = average(losses, gradients)
    assert "no longer finite" in str(first)
    assert first == second
