import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from orchestrator.errors import CheckpointMismatch
from orchestrator.train import checkpoint as saved


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def test_weights_and_state_come_back_as_they_were(tmp_path: Path) -> None:
    first, second = network(), network()
    saved.write_checkpoint(tmp_path / "c", first, {"epoch": 3, "job": {"name": "a"}})
    saved.load_weights(tmp_path / "c", second)
    assert saved.read_state(tmp_path / "c")["epoch"] == 3
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value)


def test_the_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    saved.write_checkpoint(tmp_path / "c", network(), {})
    with pytest.raises(CheckpointMismatch, match="another network"):
        saved.load_weights(tmp_path / "c", nn.Sequential(nn.Conv2d(3, 8, 3)))


def test_a_checkpoint_of_another_version_is_refused(tmp_path: Path) -> None:
    saved.write_checkpoint(tmp_path / "c", network(), {"format": 99})
    with pytest.raises(CheckpointMismatch, match="format 99"):
        saved.read_state(tmp_path / "c")


def test_every_generator_goes_on_where_it_was(tmp_path: Path) -> None:
    module = network()
    saved.write_checkpoint(tmp_path / "c", module, {"ranks": [saved.rank_state(module)]})

    def draw() -> tuple[float, float, float]:
        return torch.rand(()).item(), random.random(), float(np.random.random())

    expected = draw()
    saved.restore_rank(module, saved.read_state(tmp_path / "c")["ranks"], rank=0, world=1)
    assert draw() == expected


def test_each_rank_gets_its_own_statistics_and_another_number_of_ranks_the_mean() -> None:
    module = network()
    states = []
    for value in (1.0, 3.0):
        module[1].running_mean.fill_(value)
        states.append(saved.rank_state(module))
    for rank, world, expected in ((0, 2, 1.0), (1, 2, 3.0), (0, 1, 2.0), (0, 3, 2.0), (2, 3, 2.0)):
        saved.restore_rank(module, states, rank=rank, world=world)
        assert module[1].running_mean.tolist() == [expected] * 4
