"""What a checkpoint holds, written into a folder and read back."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from models.roles import roles
from orchestrator.errors import CheckpointMismatch
from orchestrator.job.optimizer import Adam, AdamW, Sgd
from orchestrator.store.checkpoint import with_manifest
from orchestrator.store.disk import DiskFolder
from orchestrator.store.run_folder import Reached
from orchestrator.track.result import PointResult, Result
from orchestrator.train.optimizers import build_optimizer
from orchestrator.train.ranks import Ranks
from orchestrator.train.state import RankState, TrainState, load_weights, not_finite

MakeState = Callable[..., TrainState]


def write(state: TrainState, module: nn.Module, folder: Path) -> None:
    DiskFolder(folder.parent).put(folder.name, with_manifest(state.contents(module)))


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def test_a_state_comes_back_as_it_was_with_its_results(
    tmp_path: Path, make_state: MakeState
) -> None:
    rows = (PointResult("8bit", 70.5, 0.5), PointResult("2bit", 61.0, 0.9))
    result = Result("top1", 2, 27, rows)
    module = network()
    state = make_state(module, at=Reached(1, 3, 7), best=result, last=result)
    write(state, module, tmp_path / "c")
    found = TrainState.read(tmp_path / "c")
    [expected], [rank] = state.ranks, found.ranks
    assert replace(found, ranks=[]) == replace(state, ranks=[])
    assert torch.equal(rank.torch, expected.torch)
    assert rank.buffers.keys() == expected.buffers.keys()


def test_a_state_of_an_older_version_names_no_samples(
    tmp_path: Path, make_state: MakeState
) -> None:
    module = network()
    state = make_state(module)
    del vars(state)["samples"]
    write(state, module, tmp_path / "c")
    assert TrainState.read(tmp_path / "c").samples is None


def test_weights_come_back_as_they_were(tmp_path: Path, make_state: MakeState) -> None:
    first, second = network(), network()
    write(make_state(first), first, tmp_path / "c")
    load_weights(tmp_path / "c", second)
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value)


def test_the_weights_of_another_network_are_refused(tmp_path: Path, make_state: MakeState) -> None:
    module = network()
    write(make_state(module), module, tmp_path / "c")
    with pytest.raises(CheckpointMismatch, match="another network"):
        load_weights(tmp_path / "c", nn.Sequential(nn.Conv2d(3, 8, 3)))


def test_every_generator_goes_on_where_it_was(tmp_path: Path, make_state: MakeState) -> None:
    module = network()
    np.random.normal()  # the generator keeps a spare number now
    write(make_state(module), module, tmp_path / "c")

    def draw() -> tuple[float, float, float]:
        return torch.rand(()).item(), random.random(), float(np.random.normal())

    expected = draw()
    TrainState.read(tmp_path / "c").restore_rank(module, Ranks())
    assert draw() == expected


def test_each_rank_gets_its_own_statistics_and_another_number_of_ranks_the_mean(
    make_state: MakeState,
) -> None:
    module = network()
    ranks = []
    for value in (1.0, 3.0):
        module[1].running_mean.fill_(value)
        ranks.append(RankState.of(module))
    state = make_state(module, ranks=ranks)
    for rank, world, expected in ((0, 2, 1.0), (1, 2, 3.0), (0, 1, 2.0), (0, 3, 2.0), (2, 3, 2.0)):
        state.restore_rank(module, Ranks(rank, world))
        assert module[1].running_mean.tolist() == [expected] * 4


def test_a_state_that_holds_anything_else_is_not_read(
    tmp_path: Path, make_state: MakeState
) -> None:
    module = network()
    write(make_state(module, job={"name": Path("a")}), module, tmp_path / "c")
    with pytest.raises(CheckpointMismatch, match=r"state\.pt cannot be read as a checkpoint"):
        TrainState.read(tmp_path / "c")


def test_a_statistic_that_is_not_finite_is_named() -> None:
    module = network()
    optimizer = build_optimizer(roles(module), Sgd.Settings(lr=0.1), losses=1)
    assert not_finite(module, nn.Module(), optimizer) is None
    module[1].running_var[2] = float("inf")
    assert not_finite(module, nn.Module(), optimizer) == "1.running_var"


@pytest.mark.parametrize(
    ("kind", "memories"),
    [
        (Sgd, ["momentum_buffer"]),
        (Adam, ["exp_avg", "exp_avg_sq"]),
        (AdamW, ["exp_avg", "exp_avg_sq"]),
    ],
)
def test_whatever_an_optimizer_remembers_that_is_not_finite_is_named(
    kind: type[Sgd], memories: list[str]
) -> None:
    module = network()
    optimizer = build_optimizer(roles(module), kind.Settings(lr=0.1), losses=1)
    module(torch.randn(2, 3, 5, 5)).square().sum().backward()
    optimizer.step()
    assert not_finite(module, nn.Module(), optimizer) is None
    for memory in memories:
        kept = optimizer.state[module[0].weight][memory]
        before, kept[1, 1, 1, 1] = kept[1, 1, 1, 1].item(), float("nan")
        assert not_finite(module, nn.Module(), optimizer) == f"the optimizer's {memory} of 0.weight"
        kept[1, 1, 1, 1] = before
