"""Against the number of parameters and the table of kuangliu/pytorch-cifar's MobileNetV2."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from models import build_network
from models.networks.base import AnyBitNetwork
from models.networks.mobilenet import MobileNetV2CifarSettings
from models.quantizers.settings import QuantizerSettings
from models.roles import roles
from tests.models.precisions import at, precisions

Tiny = Callable[..., AnyBitNetwork]


@pytest.fixture
def full_size() -> AnyBitNetwork:
    with torch.device("meta"):
        return build_network(
            MobileNetV2CifarSettings(),
            QuantizerSettings(),
            precisions=precisions(8),
            num_classes=10,
        )


def test_mobilenet_for_cifar_has_its_known_number_of_parameters(full_size: AnyBitNetwork) -> None:
    assert sum(p.numel() for _, p, role in roles(full_size) if role != "clip") == 2_296_922
    assert {info.block for info in full_size.quantized_layers} == {None, *range(17)}


def test_stride_one_blocks_whose_channels_change_have_a_shortcut_convolution(
    full_size: AnyBitNetwork,
) -> None:
    # The CIFAR-10 form: 32->16, 16->24, 64->96 and 160->320 change channels at stride 1.
    with_shortcut = [i for i, block in enumerate(full_size.layers) if block.shortcut is not None]
    assert with_shortcut == [0, 1, 10, 16]
    without_residual = [i for i, b in enumerate(full_size.layers) if not b.has_residual]
    assert without_residual == [3, 6, 13]


def test_every_block_expands_even_the_first(full_size: AnyBitNetwork) -> None:
    shapes = [tuple(block.conv1.weight.shape) for block in full_size.layers]
    assert shapes[0] == (32, 32, 1, 1)
    assert shapes[1] == (96, 16, 1, 1)


def test_activations_are_not_bounded_at_six(full_size: AnyBitNetwork) -> None:
    assert not any(isinstance(m, nn.ReLU6) for m in full_size.modules())


def test_only_outputs_of_linear_bottlenecks_are_quantized_with_sign(
    full_size: AnyBitNetwork,
) -> None:
    firsts = [block.act1.signed for block in full_size.layers]
    assert firsts == [False] + [True] * 16
    assert not any(block.act2.signed or block.act3.signed for block in full_size.layers)
    assert full_size.act2.signed


def test_the_identity_path_is_not_quantized(tiny: Tiny) -> None:
    block = tiny("mobilenet_v2_cifar").get_submodule("layers.2")
    nn.init.zeros_(block.bn3["2bit"].weight)
    inputs = torch.randn(2, 4, 8, 8)
    assert torch.equal(block(inputs, [at(2)] * 3), inputs)


def test_a_block_follows_its_definition(tiny: Tiny) -> None:
    block = tiny("mobilenet_v2_cifar").get_submodule("layers.4")
    inputs = torch.randn(2, 6, 8, 8)
    one, two, three, own = at(8), at(4), at(2), at(6)
    x = block.act1(inputs, one)
    inner = torch.relu(block.bn1["8bit"](block.conv1(x, one)))
    inner = block.conv2(block.act2(inner, two), two)
    inner = block.act3(torch.relu(block.bn2["4bit"](inner)), three)
    projected = block.bn3["2bit"](block.conv3(inner, three))
    shortcut = block.shortcut[0](block.act1(inputs, own), own)
    expected = projected + block.shortcut[1]["6bit"](shortcut)
    assert torch.equal(block(inputs, [one, two, three, own]), expected)
    assert block.conv2.groups == 12


def test_cifar_images_end_as_four_by_four_features(tiny: Tiny) -> None:
    settings = {
        "widths": (2,) * 7,
        "depths": (1,) * 7,
        "expansions": (1,) * 7,
        "strides": MobileNetV2CifarSettings().strides,
    }
    network = tiny("mobilenet_v2_cifar", **settings)
    sizes: list[torch.Size] = []
    network.avgpool.register_forward_pre_hook(lambda _, args: sizes.append(args[0].shape))
    network(torch.randn(1, 3, 32, 32), 8)
    assert sizes == [torch.Size((1, 12, 4, 4))]
