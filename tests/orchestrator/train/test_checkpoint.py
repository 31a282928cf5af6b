from pathlib import Path

import pytest
import torch
from torch import nn

from orchestrator.errors import CheckpointMismatch
from orchestrator.train import checkpoint
from orchestrator.train.checkpoint import damage, load_weights, write_checkpoint


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def written(folder: Path) -> nn.Sequential:
    """Write a checkpoint of the weights alone; return the network they are of."""
    module = network()
    write_checkpoint(folder, [(checkpoint.WEIGHTS, checkpoint.weights_file(module))])
    return module


def test_weights_come_back_as_they_were(tmp_path: Path) -> None:
    first, second = written(tmp_path / "c"), network()
    load_weights(tmp_path / "c", second)
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value)


def test_the_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    written(tmp_path / "c")
    with pytest.raises(CheckpointMismatch, match="another network"):
        load_weights(tmp_path / "c", nn.Sequential(nn.Conv2d(3, 8, 3)))


def test_a_checkpoint_of_another_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as other_version:
        other_version.setattr(checkpoint, "FORMAT", 99)
        written(tmp_path / "c")
    with pytest.raises(CheckpointMismatch, match="format 99"):
        damage(tmp_path / "c")
