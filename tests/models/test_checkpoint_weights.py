"""Weights of one network in another that runs at other precisions."""

import pytest
import torch
from torch import nn

from models.checkpoint_weights import load_checkpoint_weights


def network(*precisions: str, width: int = 4, shared_norm: bool = False) -> nn.Module:
    """A convolution with batch norm and clip levels by precision, of random values."""
    module = nn.Module()
    module.conv = nn.Conv2d(3, width, 1)
    module.bn = (
        nn.BatchNorm2d(width)
        if shared_norm
        else nn.ModuleDict({name: nn.BatchNorm2d(width) for name in precisions})
    )
    module.clip = nn.ParameterDict({name: nn.Parameter(torch.rand(())) for name in precisions})
    for value in module.parameters():
        nn.init.normal_(value.data)
    return module


def copied(target: nn.Module, source: nn.Module) -> set[str]:
    """The names that hold the values of the source now."""
    given = source.state_dict()
    found = target.state_dict()
    floating = {name for name, value in found.items() if value.is_floating_point()}
    return {name for name in floating & given.keys() if torch.equal(found[name], given[name])}


def test_what_both_run_at_is_copied_and_the_rest_stays_and_is_named() -> None:
    source, target = network("8bit", "4bit"), network("8bit", "w1a4", "2bit")
    assert load_checkpoint_weights(target, source.state_dict()) == ["w1a4", "2bit"]
    assert {"conv.weight", "conv.bias", "bn.8bit.weight", "clip.8bit"} <= copied(target, source)


def test_a_network_with_no_precision_in_common_gets_what_all_share() -> None:
    source, target = network("8bit"), network("4bit")
    assert load_checkpoint_weights(target, source.state_dict()) == ["4bit"]
    assert copied(target, source) == {"conv.weight", "conv.bias"}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (network("8bit", width=6), r"of another shape \(conv.weight \(4, 3, 1, 1\) instead of"),
        (network("8bit", shared_norm=True), r"missing \(bn.weight.*unexpected \(bn.8bit"),
        (nn.Sequential(nn.Conv2d(3, 4, 1)), r"missing.*unexpected"),
    ],
)
def test_another_network_is_refused_and_nothing_is_copied(other: nn.Module, message: str) -> None:
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        load_checkpoint_weights(other, network("8bit").state_dict())
    assert all(torch.equal(before[name], value) for name, value in other.state_dict().items())
