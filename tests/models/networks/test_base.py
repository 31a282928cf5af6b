"""Bit-widths reach the layers they are meant for; distances; frozen statistics."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from models import NETWORKS
from models.bitwidth import Assignment
from models.layers.conv import QuantizedConv2d
from models.networks.base import AnyBitNetwork
from models.precision import Precision
from models.roles import roles

Tiny = Callable[..., AnyBitNetwork]


def bits_in_use(network: AnyBitNetwork, assignment: int | Assignment) -> dict[str, int]:
    """Run once and return the bit-width at which each module with a bit-width ran."""
    used: dict[str, int] = {}

    def note(name: str) -> Callable[[nn.Module, Any], None]:
        return lambda module, args: used.update({name: args[1]}) if len(args) > 1 else None

    handles = [m.register_forward_pre_hook(note(n)) for n, m in network.named_modules()]
    network(torch.randn(2, 3, 16, 16), assignment)
    for handle in handles:
        handle.remove()
    return {name: bits for name, bits in used.items() if isinstance(bits, int)}


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_each_layer_of_a_resnet_runs_at_its_own_bit_width_and_the_stem_at_the_networks(
    tiny: Tiny, name: str
) -> None:
    network = tiny(name, quantizer={"stem_bn_shared": False})
    layers = tuple((8, 6, 4)[index % 3] for index in range(network.num_layers))
    used = bits_in_use(network, Assignment(2, layers))
    per_block = network.layers_per_block[0]
    for index, block in enumerate(("layer1.0", "layer2.0", "layer2.1")):
        own = layers[index * per_block : (index + 1) * per_block]
        for number, bits in enumerate(own, start=1):
            parts = [f"{block}.{part}{number}" for part in ("act", "conv", "bn")]
            assert [used[part] for part in parts] == [bits] * 3
        if f"{block}.downsample.0" in used:
            assert used[f"{block}.downsample.0"] == used[f"{block}.downsample.1"] == own[0]
    assert used["bn1"] == 2
    assert "layer2.0.downsample.0" in used


def test_mobilenets_last_convolution_runs_at_the_networks_bit_width(tiny: Tiny) -> None:
    network = tiny("mobilenet_v2_cifar", quantizer={"stem_bn_shared": False})
    used = bits_in_use(network, Assignment(2, (8,) * network.num_layers))
    outside = {name for name, bits in used.items() if bits == 2}
    assert outside == {"bn1", "act2", "conv2", "bn2"}
    inside = [bits for name, bits in used.items() if name.startswith("layers.")]
    assert set(inside) == {8}
    assert any("shortcut" in name for name in used)


def test_one_number_is_the_whole_network_at_one_bit_width(tiny: Tiny) -> None:
    network = tiny()
    inputs = torch.randn(2, 3, 8, 8)
    uniform = Assignment.uniform(4, network.num_layers)
    assert torch.equal(network(inputs, 4), network(inputs, uniform))


def test_an_assignment_of_another_length_is_refused(tiny: Tiny) -> None:
    with pytest.raises(ValueError, match="1 bit-widths for 6 layers"):
        tiny()(torch.randn(1, 3, 8, 8), Assignment(2, (2,)))


@pytest.mark.parametrize("weight_quant", ["coquant_trunc", "dorefa"])
def test_distance_is_summed_over_layers_shortcuts_included(tiny: Tiny, weight_quant: str) -> None:
    network = tiny(quantizer={"weight_quant": weight_quant})
    expected = 0.0
    for module in network.modules():
        if isinstance(module, QuantizedConv2d):
            at = {
                b: module.quantized_weight().fake_quantize(module.weight, b).double()
                for b in (8, 2)
            }
            expected += (at[8] - at[2]).abs().mean().item()
    distance = network.weight_distance(8, 2)
    assert distance.item() == pytest.approx(expected, rel=1e-6)
    assert not distance.requires_grad


def test_there_is_one_clip_level_per_quantizer_and_bit_width(tiny: Tiny) -> None:
    counts = {name: len(tiny(name).clip_levels()[2]) for name in ("resnet18", "resnet50")}
    assert counts == {"resnet18": 3 * 2, "resnet50": 3 * 3}
    mobilenet = tiny("mobilenet_v2_cifar", clip_init=7.0)
    assert {b: len(c) for b, c in mobilenet.clip_levels().items()} == dict.fromkeys(
        (8, 6, 4, 2), 5 * 3 + 1
    )
    assert all(level.item() == 7.0 for c in mobilenet.clip_levels().values() for level in c)


def test_frozen_statistics_of_one_bit_width_leave_the_others_running(tiny: Tiny) -> None:
    network = tiny()
    inputs = torch.randn(4, 3, 8, 8)
    with network.frozen_statistics(8):
        network(inputs, 8)
        network(inputs, 4)
    updates = {n: b.item() for n, b in network.named_buffers() if n.endswith("batches_tracked")}
    assert {v for n, v in updates.items() if ".8." in n} == {0}
    assert {v for n, v in updates.items() if ".4." in n} == {1}
    assert updates["bn1.num_batches_tracked"] == 2


def test_frozen_statistics_of_all_bit_widths_include_the_stem(tiny: Tiny) -> None:
    network = tiny()
    before = {n: b.clone() for n, b in network.named_buffers()}
    with network.frozen_statistics():
        frozen = network(torch.ones(4, 3, 8, 8), 8)
    assert all(torch.equal(before[n], b) for n, b in network.named_buffers())
    assert torch.equal(frozen, network(torch.ones(4, 3, 8, 8), 8))


@pytest.mark.parametrize("name", NETWORKS)
def test_dropout_is_active_in_training_and_not_in_evaluation(tiny: Tiny, name: str) -> None:
    with_dropout, without = tiny(name, dropout=0.7), tiny(name)
    without.load_state_dict(with_dropout.state_dict())
    inputs = torch.randn(6, 3, 16, 16)
    assert not torch.equal(with_dropout(inputs, 8), with_dropout(inputs, 8))
    without.load_state_dict(with_dropout.state_dict())
    assert torch.equal(with_dropout.eval()(inputs, 8), without.eval()(inputs, 8))


def codes_by_hand(weight: torch.Tensor) -> torch.Tensor:
    tanh = weight.detach().double().tanh()
    return (255 * (tanh / (2 * tanh.abs().max()) + 0.5)).round()


@pytest.mark.parametrize("name", NETWORKS)
def test_in_bfloat16_the_codes_are_those_of_the_float32_weights(tiny: Tiny, name: str) -> None:
    network = tiny(name)
    network.convolve_codes_in(torch.bfloat16)
    network(torch.randn(2, 3, 16, 16), 8)
    for layer in (m for m in network.modules() if isinstance(m, QuantizedConv2d)):
        different = layer.quantized_weight().codes(8).double() != codes_by_hand(layer.weight)
        assert different.double().mean() < 0.01  # float32 against float64: a tie at most


def trained_a_little(network: AnyBitNetwork) -> AnyBitNetwork:
    """Return the network with other batch norm and clip levels at each bit-width, to evaluate."""
    state = network.state_dict()
    network.load_state_dict(
        {n: v if "num" in n else v * (1 + torch.rand_like(v)) for n, v in state.items()}
    )
    return network.eval()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("stem_bn_shared", [True, False])
@pytest.mark.parametrize("num_segments", [None, 2])
def test_a_bit_width_added_has_copies_of_its_sources_batch_norm_and_clip_levels(
    tiny: Tiny, name: str, stem_bn_shared: bool, num_segments: int | None
) -> None:
    same = {"quantizer": {"stem_bn_shared": stem_bn_shared}, "num_segments": num_segments}
    network = trained_a_little(tiny(name, **same))
    network.add(Precision(7, 7), Precision(8, 8))
    built_with_it = tiny(name, bit_widths=(8, 7, 6, 4, 2), **same).eval()
    source = network.state_dict()
    by_name = {n: source[n.replace(".7.", ".8.")] for n in built_with_it.state_dict()}
    built_with_it.load_state_dict(by_name)
    inputs = torch.randn(2, *((2,) if num_segments else ()), 3, 16, 16)
    for bits in (8, 7, 2):
        assert torch.equal(network(inputs, bits), built_with_it(inputs, bits))
    assert not torch.equal(network(inputs, 7), network(inputs, 8))


def test_a_bit_width_added_is_no_second_name_of_its_source(tiny: Tiny) -> None:
    network = trained_a_little(tiny())
    network.add(Precision(3, 3), Precision(4, 4))
    assert network.bit_widths == (8, 6, 4, 3, 2)
    before = network(torch.ones(2, 3, 8, 8), 4)
    with torch.no_grad():
        for name, parameter, role in roles(network):
            if role in ("norm", "clip") and ".3" in name:
                parameter += 1
    assert torch.equal(network(torch.ones(2, 3, 8, 8), 4), before)


@pytest.mark.parametrize("bits", [7, 5, 3])
def test_weights_at_a_bit_width_added_are_the_stored_codes_shifted(tiny: Tiny, bits: int) -> None:
    network = tiny().double()
    network.add(Precision(bits, bits), Precision(8, 8))
    for layer in (m for m in network.modules() if isinstance(m, QuantizedConv2d)):
        shifted = codes_by_hand(layer.weight).long() >> (8 - bits)
        scale = codes_by_hand(layer.weight).mean() / (shifted << (8 - bits)).double().mean()
        expected = 2 * scale * (shifted << (8 - bits)) / 255 - 1
        quantized = layer.quantized_weight()
        assert torch.equal(quantized.codes(bits).long(), shifted)
        torch.testing.assert_close(quantized.fake_quantize(layer.weight, bits), expected)


@pytest.mark.parametrize(("bits", "source"), [(4, 8), (3, 5)])
def test_a_bit_width_that_is_there_and_a_source_that_is_not_are_refused(
    tiny: Tiny, bits: int, source: int
) -> None:
    with pytest.raises(ValueError, match=f"{bits} bits cannot be copied from {source}"):
        tiny().add(Precision(bits, bits), Precision(source, source))
