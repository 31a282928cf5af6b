"""First values against the distributions of the papers and of torch's documentation."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from models import NETWORKS
from models.layers.initialize import initialize
from models.networks.base import AnyBitNetwork
from models.table import resolve


def test_convolution_weights_have_the_spread_of_kaiming_over_fan_out() -> None:
    convolution = nn.Conv2d(40, 60, 3)
    initialize(nn.Sequential(convolution), "kaiming_fan_out")
    assert convolution.weight.std().item() == pytest.approx((2 / (60 * 9)) ** 0.5, rel=0.05)
    assert abs(convolution.weight.mean().item()) < 0.002


def test_torchs_own_weights_are_uniform_over_fan_in_and_stay() -> None:
    convolution = nn.Conv2d(40, 60, 3)
    before = convolution.weight.clone()
    initialize(nn.Sequential(convolution), "torch")
    assert torch.equal(convolution.weight, before)
    bound = (40 * 9) ** -0.5
    assert 0.99 * bound < before.abs().max() <= bound
    assert before.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet18_cifar", "torch"),
        ("mobilenet_v2_cifar", "torch"),
        ("resnet18", "kaiming_fan_out"),
        ("resnet50", "kaiming_fan_out"),
    ],
)
def test_cifar_forms_draw_as_torch_does_and_torchvisions_forms_as_torchvision(
    name: str, expected: str
) -> None:
    assert resolve(NETWORKS, name).Settings().init_weights == expected


@pytest.mark.parametrize("how", ["torch", "kaiming_fan_out"])
def test_a_network_is_drawn_as_its_settings_say(
    tiny: Callable[..., AnyBitNetwork], how: str
) -> None:
    network = tiny("mobilenet_v2_cifar", init_weights=how, widths=(64, 4, 6, 8))
    depthwise = network.layers[0].conv2.weight.detach()  # a fan-in of 9
    assert (depthwise.abs().max().item() <= 1 / 3) == (how == "torch")
