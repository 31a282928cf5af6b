"""Bit-widths reach the layers they are meant for; distances; frozen statistics."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from models.layers.conv import QuantizedConv2d
from models.layers.layout import Layout
from models.networks.base import AnyBitNetwork, list_layers
from models.precision import Assignment, LayerPrecision, OperatingPoint, Precision
from models.quantizers import WEIGHT_QUANTIZERS
from models.roles import roles
from tests.models.precisions import precisions
from tests.models.representatives import LAYOUTS_AND_WEIGHTS, NETWORKS, NETWORKS_AND_WEIGHTS

Tiny = Callable[..., AnyBitNetwork]
Golden = Callable[[str], dict[str, Any]]


def in_use(network: AnyBitNetwork, at: int | Assignment) -> dict[str, LayerPrecision]:
    """Run once and return at which precision each module that has one ran first."""
    used: dict[str, LayerPrecision] = {}

    def note(name: str) -> Callable[[nn.Module, Any], None]:
        def hook(module: nn.Module, args: Any) -> None:
            if len(args) > 1:
                used.setdefault(name, args[1])

        return hook

    handles = [m.register_forward_pre_hook(note(n)) for n, m in network.named_modules()]
    network(torch.randn(2, 3, 16, 16), at)
    for handle in handles:
        handle.remove()
    return {name: own for name, own in used.items() if isinstance(own, LayerPrecision)}


@pytest.mark.parametrize("name", NETWORKS)
def test_each_layer_runs_at_its_own_precision_and_knows_that_of_the_one_before(
    tiny: Tiny, name: str
) -> None:
    network = tiny(name, stem_bn_shared=False)
    infos = network.quantized_layers
    own = tuple(precisions(8, 6, 4)[index % 3] for index in range(len(infos)))
    (outside,) = precisions(2)
    used = in_use(network, Assignment(outside, own))
    quantized = {n for n, m in network.named_modules() if isinstance(m, QuantizedConv2d)}
    assert {info.name for info in infos} == quantized
    for info, precision in zip(infos, own, strict=True):
        before = precision if info.fed_by is None else own[info.fed_by]
        assert used[info.name] == (precision, before), info.name
        norm = info.name.replace("conv", "bn").replace("downsample.0", "downsample.1")
        assert used[norm.replace("shortcut.0", "shortcut.1")] == (precision, before)
        if info.kind != "shortcut":
            assert used[info.name.replace("conv", "act")] == (precision, before)
    assert used["bn1"] == (outside, outside)


def test_layers_are_fed_as_the_main_path_runs(tiny: Tiny) -> None:
    """By hand: two blocks of two layers with a shortcut between them."""
    fed = {info.name: info.fed_by for info in tiny(depths=(1, 1)).quantized_layers}
    assert fed == {
        "layer1.0.conv1": None,
        "layer1.0.conv2": 0,
        "layer2.0.conv1": 1,
        "layer2.0.conv2": 2,
        "layer2.0.downsample.0": 1,
    }
    mobilenet = {i.name: i for i in tiny("mobilenet_v2_cifar").quantized_layers}
    assert mobilenet["layers.1.conv2"].kind == "depthwise"
    assert mobilenet["layers.1.conv1"].kind == "conv"
    assert mobilenet["layers.4.shortcut.0"].kind == "shortcut"
    assert mobilenet["conv2"].block is None


@pytest.mark.golden
def test_transitions_are_the_golden_ones(golden: Golden) -> None:
    (case,) = (c for c in golden("bitmixer_misc")["cases"] if c["kind"] == "transitional_bn_index")
    names = {"c1": "conv1", "c2": "conv2", "ds": "downsample.0"}
    infos = list_layers(
        (block, _Stub(shortcut=f"{block}.ds" in [layer["layer"] for layer in case["layers"]]))
        for block in ("b1", "b2", "b3")
    )
    golden_layers = {}
    for layer in case["layers"]:
        block, part = layer["layer"].split(".")
        golden_layers[f"{block}.{names[part]}"] = layer
    assert {info.name for info in infos} == golden_layers.keys()
    for info in infos:
        own = golden_layers[info.name]["bit"]
        before = own if info.fed_by is None else golden_layers[infos[info.fed_by].name]["bit"]
        assert [before, own] == golden_layers[info.name]["index"]


class _Stub(nn.Module):
    """A block of two layers."""

    main = ("conv1", "conv2")

    def __init__(self, *, shortcut: bool) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)
        self.shortcut_layer = "downsample.0" if shortcut else None


def test_a_point_may_give_layers_a_precision_by_name(tiny: Tiny) -> None:
    network = tiny()
    low, high = precisions(2, 8)
    point = OperatingPoint("mixed", low, (("layer2.0.conv2", high),))
    used = in_use(network, network.assignment(point))
    assert used["layer2.0.conv2"] == (high, low)
    assert used["layer2.1.conv1"] == (low, high)
    assert used["layer2.0.conv1"] == (low, low)


def test_what_the_network_does_not_have_is_refused_by_name(tiny: Tiny) -> None:
    network = tiny()
    (low,) = precisions(2)
    with pytest.raises(ValueError, match=r"no layer is called 'layer9'; there are layer1.0.conv1"):
        network.assignment(OperatingPoint("mixed", low, (("layer9", low),)))
    with pytest.raises(ValueError, match="no batch norm for w1a4, only for 8bit, 6bit, 4bit, 2bit"):
        network.assignment("w1a4")


def test_one_number_is_the_whole_network_at_one_precision(tiny: Tiny) -> None:
    network = tiny()
    inputs = torch.randn(2, 3, 8, 8)
    assert torch.equal(network(inputs, 4), network(inputs, OperatingPoint.at("4bit")))


def test_an_assignment_of_another_length_is_refused(tiny: Tiny) -> None:
    (low,) = precisions(2)
    with pytest.raises(ValueError, match="1 precisions for 7 layers"):
        tiny()(torch.randn(1, 3, 8, 8), Assignment(low, (low,)))


@pytest.mark.parametrize(("name", "weights"), NETWORKS_AND_WEIGHTS)
def test_one_bit_weights_run_beside_eight_bit_ones_and_float(
    tiny: Tiny, name: str, weights: str
) -> None:
    network = tiny(name, bit_widths=("float", "w8a4", "w1a4"), weights=weights)
    inputs = torch.randn(4, 3, 16, 16)
    logits = [network(inputs, point) for point in ("float", "w8a4", "w1a4")]
    assert all(one.isfinite().all() for one in logits)
    assert not torch.equal(logits[1], logits[2])
    filters = [one for layer in network.convolutions() for one in layer.weight_at(1)]
    assert {len(one.unique()) for one in filters} <= {1, 2}
    assert network.weight_distance("w8a4", "w1a4") > 0
    assert network.weight_distance("float", "w8a4") > 0


@pytest.mark.parametrize("weights", WEIGHT_QUANTIZERS)
def test_distance_is_summed_over_layers_shortcuts_included(tiny: Tiny, weights: str) -> None:
    network = tiny(weights=weights)
    expected = 0.0
    for module in network.modules():
        if isinstance(module, QuantizedConv2d):
            at = {b: module.weight_at(b).double() for b in (8, 2)}
            expected += (at[8] - at[2]).abs().mean().item()
    distance = network.weight_distance(8, 2)
    assert distance.item() == pytest.approx(expected, rel=1e-6)
    assert not distance.requires_grad


def test_there_is_one_clip_level_per_quantizer_and_bit_width(tiny: Tiny) -> None:
    counts = {name: len(tiny(name).clip_levels()["2bit"]) for name in ("resnet18", "resnet50")}
    assert counts == {"resnet18": 3 * 2, "resnet50": 3 * 3}
    mobilenet = tiny("mobilenet_v2_cifar", clip_init=7.0)
    assert {b: len(c) for b, c in mobilenet.clip_levels().items()} == dict.fromkeys(
        ("8bit", "6bit", "4bit", "2bit"), 5 * 3 + 1
    )
    assert all(level.item() == 7.0 for c in mobilenet.clip_levels().values() for level in c)


def test_frozen_statistics_of_one_bit_width_leave_the_others_running(tiny: Tiny) -> None:
    network = tiny()
    inputs = torch.randn(4, 3, 8, 8)
    with network.frozen_statistics(8):
        network(inputs, 8)
        network(inputs, 4)
    updates = {n: b.item() for n, b in network.named_buffers() if n.endswith("batches_tracked")}
    assert {v for n, v in updates.items() if ".8bit." in n} == {0}
    assert {v for n, v in updates.items() if ".4bit." in n} == {1}
    assert updates["bn1.num_batches_tracked"] == 2


def test_frozen_statistics_of_all_bit_widths_include_the_stem(tiny: Tiny) -> None:
    network = tiny()
    before = {n: b.clone() for n, b in network.named_buffers()}
    with network.frozen_statistics():
        frozen = network(torch.ones(4, 3, 8, 8), 8)
    assert all(torch.equal(before[n], b) for n, b in network.named_buffers())
    assert torch.equal(frozen, network(torch.ones(4, 3, 8, 8), 8))


def test_frozen_statistics_include_the_ranges_of_activations(tiny: Tiny) -> None:
    network = tiny(bit_widths=(8, 4), activations="moving_range")
    inputs = torch.randn(4, 3, 8, 8)
    ranges = {name: value for name, value in network.named_buffers() if ".ranges." in name}
    with network.frozen_statistics():
        network(inputs, 8)
    assert not any(ranges.values())
    with network.frozen_statistics(8):
        network(inputs, 8)
        network(inputs, 4)
    assert {n.split(".")[-2] for n, value in ranges.items() if value > 0} == {"4bit"}


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
    network.compute_in(None, torch.bfloat16)
    network(torch.randn(2, 3, 16, 16), 8)
    for layer in network.convolutions():
        different = layer.levels(8).codes.double() != codes_by_hand(layer.weight)
        assert different.double().mean() < 0.01  # float32 against float64: a tie at most


def trained_a_little(network: AnyBitNetwork) -> AnyBitNetwork:
    """Return the network with other batch norm and clip levels at each bit-width, to evaluate."""
    state = network.state_dict()
    network.load_state_dict(
        {n: v if "num" in n else v * (1 + torch.rand_like(v)) for n, v in state.items()}
    )
    return network.eval()


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("stem_bn_shared", "num_segments"), [(True, None), (False, 2)])
def test_an_added_bit_width_has_copies_of_its_sources_batch_norm_and_clip_levels(
    tiny: Tiny, name: str, stem_bn_shared: bool, num_segments: int | None
) -> None:
    same = {"stem_bn_shared": stem_bn_shared, "num_segments": num_segments}
    network = trained_a_little(tiny(name, **same))
    network.add(Precision(7, 7), Precision(8, 8))
    built_with_it = tiny(name, bit_widths=(8, 7, 6, 4, 2), **same).eval()
    source = network.state_dict()
    by_name = {n: source[n.replace("7bit", "8bit")] for n in built_with_it.state_dict()}
    built_with_it.load_state_dict(by_name)
    inputs = torch.randn(2, *((2,) if num_segments else ()), 3, 16, 16)
    for bits in (8, 7, 2):
        assert torch.equal(network(inputs, bits), built_with_it(inputs, bits))
    assert not torch.equal(network(inputs, 7), network(inputs, 8))


@pytest.mark.parametrize(("layout", "weights"), LAYOUTS_AND_WEIGHTS, ids=str)
def test_a_bit_width_is_added_in_every_layout_and_to_every_quantizer(
    tiny: Tiny, layout: Layout, weights: str
) -> None:
    same = {"layout": layout, "weights": weights}
    network = trained_a_little(tiny(**same))
    network.add(Precision(5, 5), Precision(6, 6))
    built_with_it = tiny(bit_widths=(8, 6, 5, 4, 2), **same).eval()
    source = network.state_dict()
    by_name = {n: source[n.replace("5bit", "6bit")] for n in built_with_it.state_dict()}
    # A learned step keeps its range: 31 steps of 6 bits, 15 of 5.
    by_name |= {n: by_name[n] * (31 / 15) for n in by_name if n.endswith("steps.5bit")}
    built_with_it.load_state_dict(by_name)
    assert source.keys() == built_with_it.state_dict().keys()
    high, low = precisions(8, 5)
    mixed = OperatingPoint("mixed", high, (("layer2.0.conv1", low),))
    inputs = torch.randn(2, 3, 16, 16)
    for point in (5, mixed, 8):
        assert torch.equal(network(inputs, point), built_with_it(inputs, point))


def test_an_added_bit_width_shares_nothing_with_its_source(tiny: Tiny) -> None:
    network = trained_a_little(tiny())
    network.add(Precision(3, 3), Precision(4, 4))
    assert network.precisions == precisions(8, 6, 4, 3, 2)
    before = network(torch.ones(2, 3, 8, 8), 4)
    with torch.no_grad():
        for name, parameter, role in roles(network):
            if role in ("norm", "clip") and ".3bit" in name:
                parameter += 1
    assert torch.equal(network(torch.ones(2, 3, 8, 8), 4), before)


@pytest.mark.parametrize("bits", [7, 5, 3])
def test_weights_at_an_added_bit_width_are_the_stored_codes_shifted(tiny: Tiny, bits: int) -> None:
    network = tiny().double()
    network.add(Precision(bits, bits), Precision(8, 8))
    for layer in (m for m in network.modules() if isinstance(m, QuantizedConv2d)):
        shifted = codes_by_hand(layer.weight).long() >> (8 - bits)
        scale = codes_by_hand(layer.weight).mean() / (shifted << (8 - bits)).double().mean()
        expected = 2 * scale * (shifted << (8 - bits)) / 255 - 1
        assert torch.equal(layer.levels(bits).codes.long(), shifted)
        torch.testing.assert_close(layer.weight_at(bits), expected)


@pytest.mark.parametrize(("bits", "source"), [(4, 4), (3, 5)])
def test_a_bit_width_that_is_there_and_a_source_that_is_not_are_refused(
    tiny: Tiny, bits: int, source: int
) -> None:
    with pytest.raises(ValueError, match=f"{bits}bit cannot be copied from {source}bit"):
        tiny().add(Precision(bits, bits), Precision(source, source))


def test_a_precision_that_only_some_layer_has_is_begun_anew_in_all_of_them(tiny: Tiny) -> None:
    network = trained_a_little(tiny(bit_widths=(8, 6, 4)))
    (six, eight) = precisions(6, 8)
    network.add(six, eight)
    assert network.precisions == precisions(8, 6, 4)
    state = network.state_dict()
    own = [name for name in state if "6bit" in name]
    assert own
    assert all(torch.equal(state[name], state[name.replace("6bit", "8bit")]) for name in own)


def test_an_assignment_to_a_precision_without_batch_norm_is_refused(tiny: Tiny) -> None:
    network = tiny()
    (three,) = precisions(3)
    layers = (three,) * len(network.quantized_layers)
    with pytest.raises(ValueError, match="no batch norm for 3bit"):
        network(torch.randn(1, 3, 8, 8), Assignment(three, layers))


@pytest.mark.parametrize(
    ("trained", "new", "source"),
    [((8, 4), "6", "6"), (("w4a32",), "4", "w4a32"), ((4, 2), "8", "4")],
)
def test_what_cannot_begin_as_another_precision_is_refused(
    tiny: Tiny, trained: tuple[int | str, ...], new: str, source: str
) -> None:
    network = tiny(bit_widths=trained)
    with pytest.raises(ValueError, match="cannot be copied from"):
        network.add(Precision.parse(new), Precision.parse(source))
