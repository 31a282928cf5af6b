"""Against the description of the networks that Bit-Mixer borrows from Expert Binary Networks."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from models import build_network
from models.networks.base import AnyBitNetwork
from models.networks.ebn import EbnSettings
from models.quantizers.settings import QuantizerSettings
from tests.models.precisions import at, precisions

Tiny = Callable[..., AnyBitNetwork]


def test_each_layer_of_a_block_has_a_skip_of_its_own(tiny: Tiny) -> None:
    network = tiny("ebn")
    for name in ("layer2.0", "layer2.1"):
        block = network.get_submodule(name)
        x = inputs = torch.randn(2, block.conv1.in_channels, 8, 8)
        ats = [at(8), at(4), at(2), at(6)]
        for number, own in enumerate(ats[:3], start=1):
            bn, act, conv, prelu = (
                block.get_submodule(f"{part}{number}") for part in ("bn", "act", "conv", "prelu")
            )
            skip = x if number > 1 or name == "layer2.1" else block.downsample(x, ats[3])
            x = F.prelu(conv(act(bn(x, own), own), own), prelu.weight) + skip
        torch.testing.assert_close(block(inputs, ats), x)


@pytest.mark.parametrize("groups", [(4, 8, 8, 16), (4, 8, 16, 32), (4, 4, 4, 4)])
def test_stages_have_two_blocks_twice_as_wide_as_resnet18s_with_their_groups(
    groups: tuple[int, ...],
) -> None:
    with torch.device("meta"):
        network = build_network(
            EbnSettings(groups=groups), QuantizerSettings(), precisions=precisions(8),
            num_classes=1000,
        )  # fmt: skip
    assert network.conv1.out_channels == 64
    assert len({info.block for info in network.quantized_layers}) == 8
    for stage, (width, own) in enumerate(zip((128, 256, 512, 1024), groups, strict=True), start=1):
        block = network.get_submodule(f"layer{stage}.0")
        convs = [block.conv1, block.conv2, block.conv3]
        assert [conv.out_channels for conv in convs] == [width] * 3
        assert [conv.groups for conv in convs] == [own, own, 1]
        assert [conv.kernel_size[0] for conv in convs] == [3, 3, 1]
        assert convs[0].stride[0] == (1 if stage == 1 else 2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"groups": (4, 8, 8)}, "one entry for each stage, not 4 and 3"),
        ({"groups": (4, 8, 8, 0)}, "0 groups do not divide 512 channels into a stage and 1024"),
        ({"groups": (4, 5, 8, 16)}, "5 groups do not divide 128 channels"),
        ({"width": 0.51}, "4 groups do not divide 64 channels into a stage and 65 within"),
    ],
)
def test_groups_that_do_not_divide_channels_are_refused(
    wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        EbnSettings(**wrong)
