"""Against the number of parameters of kuangliu/pytorch-cifar's ResNet18."""

from collections.abc import Callable

import torch

from models import build_network
from models.networks.base import AnyBitNetwork
from models.networks.resnet_cifar import ResNet18CifarSettings
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
