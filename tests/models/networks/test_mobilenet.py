"""Against the tables of the papers, of torchvision, and of kuangliu/pytorch-cifar."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from models import NETWORKS, build_network
from models.float_weights import load_float_weights
from models.networks.base import AnyBitNetwork
from models.networks.mobilenet import MobileNetV2CifarSettings
from models.quantizers.settings import QuantizerSettings
from models.roles import roles
from models.table import resolve
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


def test_activations_are_not_bounded_at_six(tiny: Tiny) -> None:
    network = tiny("mobilenet_v2_cifar").eval()
    nn.init.constant_(network.bn2["8bit"].bias, 20.0)
    nn.init.zeros_(network.bn2["8bit"].weight)
    pooled: list[Tensor] = []
    network.fc.register_forward_pre_hook(lambda _, given: pooled.append(given[0]))
    network(torch.randn(1, 3, 16, 16), 8)
    assert (pooled[0] == 20).all()


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


def built(name: str, num_classes: int = 1000, **settings: object) -> AnyBitNetwork:
    with torch.device("meta"):
        return build_network(
            resolve(NETWORKS, name).Settings(**settings),
            QuantizerSettings(),
            precisions=precisions(8),
            num_classes=num_classes,
        )


@pytest.mark.parametrize(
    ("name", "num_classes", "parameters"),
    [
        ("mobilenet_v2", 1000, 3_504_872),  # torchvision's documented number
        ("mobilenet_v1", 1000, 4_231_976),
        ("mobilenet_v2_oneweight", 100, 3_504_872 - 900 * 1281),  # strides have no weights
    ],
)
def test_networks_have_their_known_numbers_of_parameters(
    name: str, num_classes: int, parameters: int
) -> None:
    network = built(name, num_classes)
    assert sum(p.numel() for _, p, role in roles(network) if role != "clip") == parameters


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("mobilenet_v1", [64, 32, 32, 16, 16, *[8] * 6, 4, 4]),
        ("mobilenet_v2", [64, 32, 32, 16, 16, 16, *[8] * 7, *[4] * 4]),
        # Two reductions: the stem's, and that of the row of 96 channels.
        ("mobilenet_v2_oneweight", [*[64] * 10, *[32] * 7]),
        ("inv_resnet26", [*[128] * 4, *[64] * 4, *[32] * 4]),
    ],
)
def test_blocks_shrink_images_of_128_where_the_tables_say(name: str, sizes: list[int]) -> None:
    network = built(name, width=0.1)
    found: list[int] = []
    for block in network.layers:
        block.register_forward_hook(lambda _, args, output: found.append(output.shape[-1]))
    with torch.device("meta"):
        network.eval()(torch.zeros(1, 3, 128, 128), 8)
    assert found == sizes


@pytest.mark.parametrize(
    ("name", "stem", "second", "last"),
    [
        ("mobilenet_v2", 32, 12, 1280),
        ("mobilenet_v2_oneweight", 16, 12, 640),
        ("mobilenet_v2_cifar", 16, 12, 640),
    ],
)
def test_for_large_images_the_first_and_the_last_convolution_keep_their_channels(
    name: str, stem: int, second: int, last: int
) -> None:
    network = built(name, width=0.5)
    assert network.conv1.out_channels == stem
    assert network.layers[1].conv3.out_channels == second
    assert network.fc.in_features == last


def torchvision_mobilenet() -> dict[str, torch.Size]:
    """Names and shapes of the weights by the rules of torchvision's mobilenetv2.py."""
    table = ((1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1))
    shapes: dict[str, tuple[int, ...]] = {}

    def conv(name: str, norm: str, *shape: int) -> None:
        shapes[f"{name}.weight"] = shape
        parts = ("weight", "bias", "running_mean", "running_var")
        shapes.update({f"{norm}.{part}": shape[:1] for part in parts})

    conv("features.0.0", "features.0.1", 32, 3, 3, 3)
    ins, number = 32, 1
    for expansion, out, depth in table:
        for _ in range(depth):
            name, width = f"features.{number}.conv", ins * expansion
            step = 0
            if expansion != 1:
                conv(f"{name}.0.0", f"{name}.0.1", width, ins, 1, 1)
                step = 1
            conv(f"{name}.{step}.0", f"{name}.{step}.1", width, 1, 3, 3)
            conv(f"{name}.{step + 1}", f"{name}.{step + 2}", out, width, 1, 1)
            ins, number = out, number + 1
    conv("features.18.0", "features.18.1", 1280, 320, 1, 1)
    return shapes | {"classifier.1.weight": (1000, 1280), "classifier.1.bias": (1000,)}


@pytest.mark.parametrize("prefix", ["", "module."])
def test_torchvisions_weights_are_loaded_by_its_names(prefix: str) -> None:
    state = {f"{prefix}{n}": torch.zeros(()).expand(s) for n, s in torchvision_mobilenet().items()}
    assert sum(n.endswith(".weight") and v.dim() > 1 for n, v in state.items()) == 53
    assert load_float_weights(built("mobilenet_v2"), state) == []


def test_weights_of_another_place_are_not_loaded_silently() -> None:
    state = {n: torch.zeros(()).expand(s) for n, s in torchvision_mobilenet().items()}
    state["features.19.0.weight"] = torch.zeros(1)
    with pytest.raises(ValueError, match=r"1 unexpected \(features.19.0.weight\)"):
        load_float_weights(built("mobilenet_v2"), state)


def test_blocks_for_large_images_have_neither_shortcuts_nor_an_idle_expansion(tiny: Tiny) -> None:
    network = tiny("mobilenet_v2")
    shortcuts = [info.name for info in network.quantized_layers if info.kind == "shortcut"]
    assert shortcuts == []
    first, second = network.layers[:2]
    assert list(first.main) == ["conv1", "conv2"]
    assert first.conv1.groups == 4
    inputs = torch.randn(2, 4, 8, 8)
    one, two = at(8), at(2)
    x = first.act2(first.bn1["8bit"](first.conv1(first.act1(inputs, one), one)), two)
    x = first.bn2["2bit"](first.conv2(x, two))
    assert first.has_residual
    assert torch.equal(first(inputs, [one, two]), x + inputs.relu())
    assert (first.act1.signed, second.act1.signed) == (False, True)


def test_separable_convolutions_of_the_first_version_have_no_residual_and_unsigned_inputs(
    tiny: Tiny,
) -> None:
    network = tiny("mobilenet_v1", widths=(4, 4), strides=(1, 1))
    assert not any(block.has_residual for block in network.layers)
    assert not any(block.act1.signed or block.act2.signed for block in network.layers)


def test_the_identity_of_the_first_block_has_been_through_the_stems_relu(tiny: Tiny) -> None:
    stages = {"widths": (4, 4), "depths": (2, 1), "strides": (1, 2), "expansions": (2, 2)}
    network = tiny("inv_resnet26", stem_width=4, **stages)
    inputs = torch.randn(2, 4, 8, 8)
    for block, identity in zip(network.layers[:2], (inputs.relu(), inputs), strict=True):
        nn.init.zeros_(block.bn3["2bit"].weight)
        assert block.has_residual
        assert torch.equal(block(inputs, [at(2)] * 3), identity)


def test_without_a_last_convolution_signed_projections_are_pooled_and_quantized(tiny: Tiny) -> None:
    network = tiny("inv_resnet26", head_bits=8)
    assert network.fc.act.signed
    assert {info.block for info in network.quantized_layers} == set(range(5))
    seen: list[torch.Tensor] = []
    network.fc.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    network(torch.randn(4, 3, 16, 16), 8)
    assert seen[0].min() < 0
