"""Against nn.BatchNorm2d."""

from collections.abc import Callable
from typing import Literal

import pytest
import torch
from torch import nn

from models.layers.layout import Layout
from models.layers.norm import (
    SharedBatchNorm2d,
    SwitchableBatchNorm2d,
    TransitionalBatchNorm2d,
    keep_statistics,
    measure,
)
from models.networks.base import AnyBitNetwork
from tests.models.precisions import at, precisions


def test_each_bit_width_normalizes_as_a_batch_norm_of_its_own() -> None:
    switchable, plain = SwitchableBatchNorm2d(3, precisions(8, 2)), nn.BatchNorm2d(3)
    batches = torch.randn(2, 4, 3, 5, 5) * 3
    for batch in batches:
        assert torch.equal(switchable(batch, at(8)), plain(batch))
        switchable(batch + 1, at(2))
    assert torch.equal(switchable["8bit"].running_mean, plain.running_mean)
    assert torch.equal(switchable.eval()(batches[0], at(8)), plain.eval()(batches[0]))


def test_a_shared_set_is_the_same_for_all_bit_widths() -> None:
    norm, inputs = SharedBatchNorm2d(3), torch.randn(4, 3, 5, 5)
    assert torch.equal(norm(inputs, at(8)), norm(inputs, at(2)))
    assert norm.num_batches_tracked == 2


def test_kept_statistics_stay_while_the_batch_normalizes() -> None:
    norm, inputs = nn.BatchNorm2d(3), torch.randn(4, 3, 5, 5) + 7
    with keep_statistics([norm]):
        output = norm(inputs)
    assert norm.num_batches_tracked == 0
    assert norm.running_mean.tolist() == [0, 0, 0]
    assert torch.equal(output, norm(inputs))
    assert norm.num_batches_tracked == 1


def test_kept_statistics_are_those_of_an_evaluation() -> None:
    norm, inputs = nn.BatchNorm2d(3), torch.randn(4, 3, 5, 5)
    norm(inputs)
    norm.eval()
    with keep_statistics([norm]):
        inside = norm(inputs)
    assert torch.equal(inside, norm(inputs))


@pytest.mark.parametrize("passes", [0, 1, 3])
def test_a_batch_measured_once_counts_as_often_as_passes_say(passes: int) -> None:
    shared, plain, inputs = SharedBatchNorm2d(3), nn.BatchNorm2d(3), torch.randn(4, 3, 5, 5) * 2
    for norm in (shared, plain):
        norm(inputs + 1)
    with measure(shared) as statistics:
        output = shared(inputs)
    for _ in range(passes):
        assert torch.equal(plain(inputs), output)
        statistics.count_pass()
    torch.testing.assert_close(shared.state_dict(), plain.state_dict())


def test_a_measured_batch_does_not_count_while_statistics_are_kept() -> None:
    norm = SharedBatchNorm2d(3)
    with keep_statistics([norm]):
        with measure(norm) as statistics:
            norm(torch.randn(4, 3, 5, 5))
        statistics.count_pass()
    assert norm.num_batches_tracked == 0
    statistics.count_pass()
    assert norm.num_batches_tracked == 1
    assert norm.running_mean.abs().min() > 0


def test_statistics_are_written_again_after_an_error() -> None:
    norm = nn.BatchNorm2d(3)
    with pytest.raises(ValueError, match="4D input"), keep_statistics([norm]):
        norm(torch.zeros(3))
    norm(torch.randn(4, 3, 5, 5))
    assert norm.num_batches_tracked == 1


def test_a_transitional_set_is_that_of_the_layer_before_and_its_own() -> None:
    transitional, plain = TransitionalBatchNorm2d(3, precisions(4, 2)), nn.BatchNorm2d(3)
    batch = torch.randn(4, 3, 5, 5) + 3
    assert torch.equal(transitional(batch, at(2, previous=4)), plain(batch))
    moved = {name for name, norm in transitional.items() if norm.num_batches_tracked == 1}
    assert moved == {"4bit_to_2bit"}
    assert set(transitional) == {"4bit_to_4bit", "4bit_to_2bit", "2bit_to_4bit", "2bit_to_2bit"}
    assert transitional.sets_of(precisions(2)) == [
        transitional["4bit_to_2bit"],
        transitional["2bit_to_2bit"],
    ]


@pytest.mark.parametrize("norm", ["switchable", "transitional"])
def test_a_precision_is_begun_in_the_place_of_what_the_optimizer_holds(
    tiny: Callable[..., AnyBitNetwork], norm: Literal["switchable", "transitional"]
) -> None:
    network = tiny(bit_widths=(8, 6, 4), layout=Layout(norm=norm))
    held = dict(network.named_parameters())
    with torch.no_grad():
        for name, parameter in held.items():
            parameter += "8bit" in name
    network.add(*precisions(6, 8))
    assert all(held.pop(name) is one for name, one in network.named_parameters())
    assert not held
    state = network.state_dict()
    own = [name for name in state if "6bit" in name]
    assert all(torch.equal(state[name], state[name.replace("6bit", "8bit")]) for name in own)
