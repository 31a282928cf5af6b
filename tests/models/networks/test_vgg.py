"""Against OneWeight's plan of VGG11 and its variants, counted by hand."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from models import build_network
from models.networks.base import AnyBitNetwork
from models.networks.vgg import Vgg11Settings
from models.quantizers.settings import QuantizerSettings
from tests.models.precisions import at, precisions

Tiny = Callable[..., AnyBitNetwork]
PLAN = [(3, 64), (64, 128), (128, 256), (256, 256), (256, 512), (512, 512), (512, 512), (512, 512)]


def full_size(**settings: object) -> AnyBitNetwork:
    with torch.device("meta"):
        return build_network(
            Vgg11Settings(**settings),
            QuantizerSettings(),
            precisions=precisions(8),
            num_classes=100,
        )


@pytest.mark.parametrize(("variant", "replaced"), [("full", 0), ("a", 1), ("b", 4), ("c", 7)])
def test_a_variant_has_a_1x1_and_a_depth_wise_convolution_for_so_many_of_the_eight(
    variant: str, replaced: int
) -> None:
    expected = [(3, 64, 3, 1)]
    for index, (ins, out) in enumerate(PLAN[1:]):
        split = [(ins, out, 1, 1), (out, out, 3, out)]
        expected += split if index < replaced else [(ins, out, 3, 1)]
    found = [
        (conv.in_channels, conv.out_channels, conv.kernel_size[0], conv.groups)
        for conv in full_size(variant=variant).modules()
        if isinstance(conv, nn.Conv2d)
    ]
    assert found == expected


@pytest.mark.parametrize(("size", "last"), [(32, 1), (64, 2), (20, 1)])
def test_five_pools_halve_an_image_and_leave_one_place_at_least(size: int, last: int) -> None:
    network = full_size(width=1 / 64)
    sizes: list[int] = []
    network.avgpool.register_forward_pre_hook(lambda _, args: sizes.append(args[0].shape[-1]))
    with torch.device("meta"):
        network.eval()(torch.zeros(1, 3, size, size), 8)
    assert sizes == [last]


def test_blocks_follow_their_definition(tiny: Tiny) -> None:
    split, plain, last = tiny("vgg11").get_submodule("layers")
    inputs = torch.randn(2, 4, 8, 8)
    one, two, three, four = at(8), at(4), at(2), at(6)
    x = torch.relu(split.bn1["8bit"](split.conv1(split.act1(inputs, one), one)))
    x = split.bn2["4bit"](split.conv2(split.act2(x, two), two))
    assert torch.equal(split(inputs, [one, two]), x)
    x = plain.bn1["2bit"](plain.conv1(plain.act1(x, three), three))
    assert torch.equal(plain(split(inputs, [one, two]), [three]), x)
    y = nn.functional.max_pool2d(last.bn1["6bit"](last.conv1(last.act1(x, four), four)), 2)
    assert torch.equal(last(x, [four]), y)
