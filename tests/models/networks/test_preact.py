"""Against the order that Bit-Mixer states, written out, and sizes counted by hand."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

from models import NETWORKS, build_network
from models.layers.layout import Layout
from models.networks.base import AnyBitNetwork
from models.precision import Assignment
from models.quantizers.settings import QuantizerSettings
from models.roles import roles
from models.table import resolve
from tests.models.precisions import at, precisions

Tiny = Callable[..., AnyBitNetwork]
NAME = "resnet18_preact_cifar"


def test_a_layer_is_batch_norm_quantizer_convolution_and_prelu_with_the_identity_around_two(
    tiny: Tiny,
) -> None:
    block = tiny(NAME, layout=Layout(norm="transitional")).get_submodule("layer2.1")
    inputs = torch.randn(2, 8, 4, 4)
    one, two = at(4, 8), at(2, 4)
    x = block.act1(block.bn1["8bit_to_4bit"](inputs), one)
    x = F.prelu(block.conv1(x, one), block.prelu1.weight)
    x = block.act2(block.bn2["4bit_to_2bit"](x), two)
    x = F.prelu(block.conv2(x, two), block.prelu2.weight)
    assert torch.equal(block(inputs, [one, two]), x + inputs)


def test_a_shortcut_pools_quantizes_convolves_and_normalizes_at_its_own_transition(
    tiny: Tiny,
) -> None:
    block = tiny(NAME, layout=Layout(norm="transitional")).get_submodule("layer2.0")
    nn.init.zeros_(block.prelu2.weight)
    nn.init.zeros_(block.conv2.weight)
    inputs = torch.randn(2, 4, 6, 6)
    at_layers = [at(8, 2), at(8), at(4, 2)]
    residual = block.run_layer(2, block.run_layer(1, inputs, at_layers[0]), at_layers[1])
    x = block.downsample.act(F.avg_pool2d(inputs, 2), at(4))
    x = block.downsample[1]["2bit_to_4bit"](block.downsample[0](x, at(4)))
    assert torch.equal(block(inputs, at_layers), residual + x)


def test_every_quantizer_sees_signed_inputs(tiny: Tiny) -> None:
    """Bit-Mixer's one-bit activations are the signs of their inputs."""
    network = tiny(NAME, bit_widths=(4, 1))
    lowest: list[float] = []
    for name, module in network.named_modules():
        if name.rpartition(".")[2].startswith("act"):
            assert module.signed, name
            module.register_forward_pre_hook(lambda _, args: lowest.append(args[0].min().item()))
    network(torch.randn(4, 3, 16, 16), 1)
    assert len(lowest) == len(network.quantized_layers)
    assert max(lowest) < 0


def test_each_convolution_has_a_quantizer_of_its_own(tiny: Tiny) -> None:
    network = tiny(NAME)
    assert len(network.clip_levels()["2bit"]) == len(network.quantized_layers)


def test_the_shortcut_of_a_block_is_fed_by_the_last_layer_of_the_block_before(tiny: Tiny) -> None:
    layers = {i.name: (i.fed_by, i.block) for i in tiny(NAME).quantized_layers}
    assert layers == {
        "layer1.0.conv1": (None, 0),
        "layer1.0.conv2": (0, 0),
        "layer2.0.conv1": (1, 1),
        "layer2.0.conv2": (2, 1),
        "layer2.0.downsample.0": (1, 1),
        "layer2.1.conv1": (3, 2),
        "layer2.1.conv2": (5, 2),
    }


def test_the_stem_ends_in_a_prelu_and_the_last_sum_is_pooled_as_it_is(tiny: Tiny) -> None:
    network = tiny("resnet18_preact").eval()
    seen: dict[str, Tensor] = {}
    network.layer1[0].register_forward_pre_hook(lambda _, args: seen.update(first=args[0]))
    network.layer2[-1].register_forward_hook(lambda _, args, out: seen.update(last=out))
    network.fc.register_forward_pre_hook(lambda _, args: seen.update(fc=args[0]))
    images = torch.randn(2, 3, 32, 32)
    network(images, 4)
    stem = F.prelu(network.bn1(network.conv1(images)), network.prelu.weight)
    assert torch.equal(seen["first"], F.max_pool2d(stem, 3, 2, 1))
    torch.testing.assert_close(seen["fc"], seen["last"].mean(dim=(2, 3)))
    assert seen["last"].min() < 0


def test_one_mixed_forward_pass_uses_one_set_of_each_batch_norm(tiny: Tiny) -> None:
    network = tiny(NAME, layout=Layout(norm="transitional"), bit_widths=(4, 3, 2))
    own = tuple(precisions(*([4, 3, 2] * 3)))[: len(network.quantized_layers)]
    network(torch.randn(2, 3, 16, 16), Assignment(own[0], own))
    used = {n for n, b in network.named_buffers() if n.endswith("batches_tracked") and b > 0}
    assert len(used) == len(own) + 1
    assert "layer1.0.bn1.4bit_to_4bit.num_batches_tracked" in used
    assert "layer2.0.downsample.1.3bit_to_3bit.num_batches_tracked" in used
    assert "layer2.1.bn1.4bit_to_2bit.num_batches_tracked" in used


@pytest.mark.parametrize(
    ("name", "usual", "blocks"),
    [
        ("resnet18_preact", 11_689_512, 8),
        ("resnet34_preact", 21_797_672, 16),
        ("resnet50_preact", 25_557_032, 16),
    ],
)
def test_the_convolutions_are_those_of_the_usual_resnet(name: str, usual: int, blocks: int) -> None:
    networks = []
    for one in (name, name.removesuffix("_preact")):
        with torch.device("meta"):
            networks.append(
                build_network(
                    resolve(NETWORKS, one).Settings(),
                    QuantizerSettings(),
                    precisions=precisions(8),
                    num_classes=1000,
                )
            )
    ours, plain = ({n: p.shape for n, p, r in roles(w) if r == "weight"} for w in networks)
    assert ours == plain
    parameters = sum(p.numel() for _, p, role in roles(networks[1]) if role != "clip")
    assert parameters == usual
    assert len({info.block for info in networks[0].quantized_layers}) == blocks


def test_slopes_may_be_left_out(tiny: Tiny) -> None:
    network = tiny(NAME, activation="relu")
    assert not any(isinstance(m, nn.PReLU) for m in network.modules())
    assert network(torch.randn(2, 3, 16, 16), 2).isfinite().all()


@pytest.mark.parametrize("wrong", [{"activation": "gelu"}, {"quantize_identity": True}])
def test_settings_of_other_orders_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"'prelu' or 'relu'|not permitted"):
        resolve(NETWORKS, NAME).Settings(**wrong)
