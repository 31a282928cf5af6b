"""Against the number of parameters of kuangliu/pytorch-cifar's ResNet18."""

from collections.abc import Callable

import pytest
import torch

from models import build_network
from models.networks.base import AnyBitNetwork
from models.networks.resnet_cifar import ResNet18CifarSettings, ResNetCifarSettings
from models.quantizers.settings import QuantizerSettings
from models.roles import roles
from tests.models.precisions import precisions


def test_resnet18_for_cifar_has_its_known_number_of_parameters() -> None:
    with torch.device("meta"):
        network = build_network(
            ResNet18CifarSettings(),
            QuantizerSettings(),
            precisions=precisions(8),
            num_classes=10,
        )
    assert sum(p.numel() for _, p, role in roles(network) if role != "clip") == 11_173_962
    assert {info.block for info in network.quantized_layers} == set(range(8))


def test_small_images_keep_their_size_in_the_first_stage(
    tiny: Callable[..., AnyBitNetwork],
) -> None:
    network = tiny(widths=(2, 2, 2, 2), depths=(1, 1, 1, 1))
    sizes: list[int] = []
    for stage in range(1, 5):
        network.get_submodule(f"layer{stage}.0").register_forward_hook(
            lambda _, args, output: sizes.append(output.shape[-1])
        )
    network(torch.randn(1, 3, 32, 32), 8)
    assert sizes == [32, 16, 8, 4]


@pytest.mark.parametrize(
    ("layers", "num_classes", "parameters"),
    # He et al.: 0.27M for 20 layers and 0.85M for 56, and 2,752 for two shortcuts with batch norm.
    [(20, 10, 272_474), (56, 10, 855_770)],
)
def test_resnets_for_cifar_have_their_known_numbers_of_parameters(
    layers: int, num_classes: int, parameters: int
) -> None:
    settings = ResNetCifarSettings(depths=((layers - 2) // 6,) * 3)
    with torch.device("meta"):
        network = build_network(
            settings, QuantizerSettings(), precisions=precisions(8), num_classes=num_classes
        )
    assert sum(p.numel() for _, p, role in roles(network) if role != "clip") == parameters
    main = [info for info in network.quantized_layers if info.kind == "conv"]
    assert len(main) + 2 == layers


@pytest.mark.parametrize(("width", "widths"), [(2.5, [40, 80, 160]), (0.01, [1, 1, 1])])
def test_a_multiplier_acts_on_all_widths_and_leaves_one_channel(
    width: float, widths: list[int]
) -> None:
    with torch.device("meta"):
        network = build_network(
            ResNetCifarSettings(width=width), QuantizerSettings(), precisions=precisions(8),
            num_classes=10,
        )  # fmt: skip
    stages = [network.get_submodule(f"layer{stage}.0") for stage in (1, 2, 3)]
    assert [block.conv2.out_channels for block in stages] == widths
    assert network.conv1.out_channels == widths[0]
