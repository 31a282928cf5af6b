"""Against the number of parameters that torchvision documents, and its layout's rules."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from models import NETWORKS, build_network
from models.float_weights import load_float_weights
from models.networks.base import AnyBitNetwork
from models.precision import Assignment
from models.quantizers.settings import QuantizerSettings
from models.roles import roles
from models.table import resolve
from tests.models.precisions import at, precisions

Tiny = Callable[..., AnyBitNetwork]


def full_size(name: str, **settings: object) -> AnyBitNetwork:
    """The network at one bit-width, without memory for its weights."""
    with torch.device("meta"):
        return build_network(
            resolve(NETWORKS, name).Settings(**settings),
            QuantizerSettings(),
            precisions=precisions(8),
            num_classes=1000,
        )


def zeros(*shape: int) -> Tensor:
    """Zeros that share one place in memory."""
    return torch.zeros(()).expand(shape)


def torchvision_layout(depths: list[int], kernels: list[int], expansion: int) -> dict[str, Tensor]:
    """Names and shapes of a ResNet's state dict by the rules of torchvision's resnet.py."""
    state: dict[str, Tensor] = {}

    def conv_norm(conv: str, norm: str, out_channels: int, in_channels: int, kernel: int) -> None:
        state[f"{conv}.weight"] = zeros(out_channels, in_channels, kernel, kernel)
        for part in ("weight", "bias", "running_mean", "running_var"):
            state[f"{norm}.{part}"] = zeros(out_channels)
        state[f"{norm}.num_batches_tracked"] = torch.tensor(0)

    conv_norm("conv1", "bn1", 64, 3, 7)
    channels = 64
    for stage, depth in enumerate(depths):
        width = 64 * 2**stage
        for block in range(depth):
            name = f"layer{stage + 1}.{block}"
            outs = [width] * (len(kernels) - 1) + [width * expansion]
            ins = [channels, *outs]
            for i, kernel in enumerate(kernels):
                conv_norm(f"{name}.conv{i + 1}", f"{name}.bn{i + 1}", outs[i], ins[i], kernel)
            if block == 0 and channels != width * expansion:
                conv_norm(f"{name}.downsample.0", f"{name}.downsample.1", outs[-1], channels, 1)
            channels = width * expansion
    state["fc.weight"], state["fc.bias"] = zeros(1000, channels), zeros(1000)
    return state


@pytest.mark.parametrize(
    ("name", "depths", "kernels", "expansion", "num_tensors", "num_parameters"),
    [
        ("resnet18", [2, 2, 2, 2], [3, 3], 1, 122, 11_689_512),
        ("resnet34", [3, 4, 6, 3], [3, 3], 1, 218, 21_797_672),
        ("resnet50", [3, 4, 6, 3], [1, 3, 1], 4, 320, 25_557_032),
    ],
)
def test_a_torchvision_state_dict_loads_by_name(
    name: str,
    depths: list[int],
    kernels: list[int],
    expansion: int,
    num_tensors: int,
    num_parameters: int,
) -> None:
    state = torchvision_layout(depths, kernels, expansion)
    assert len(state) == num_tensors
    network = full_size(name)
    assert load_float_weights(network, state) == []
    assert sum(p.numel() for _, p, role in roles(network) if role != "clip") == num_parameters


@pytest.mark.parametrize(("name", "blocks", "layers"), [("resnet18", 8, 16), ("resnet50", 16, 48)])
def test_swap_blocks_and_layers_are_the_papers(name: str, blocks: int, layers: int) -> None:
    network = full_size(name)
    count = sum(info.kind == "conv" for info in network.quantized_layers)
    swapped = {info.block for info in network.quantized_layers}
    assert (len(swapped), count) == (blocks, layers)


def test_a_bottleneck_strides_in_its_3x3_convolution() -> None:
    block = full_size("resnet50").get_submodule("layer2.0")
    strides = [getattr(block, name).stride for name in ("conv1", "conv2", "conv3")]
    assert strides == [(1, 1), (2, 2), (1, 1)]


def test_large_images_shrink_by_32(tiny: Tiny) -> None:
    network = tiny("resnet18", widths=(2, 2, 2, 2), depths=(1, 1, 1, 1))
    sizes: list[torch.Size] = []
    network.avgpool.register_forward_pre_hook(lambda _, args: sizes.append(args[0].shape))
    network(torch.randn(1, 3, 64, 64), 8)
    assert sizes == [torch.Size((1, 2, 2, 2))]


@pytest.mark.parametrize("quantize_identity", [True, False])
def test_the_identity_path_carries_the_quantized_or_the_float_input(
    tiny: Tiny, quantize_identity: bool
) -> None:
    block = tiny(quantize_identity=quantize_identity).get_submodule("layer2.1")
    nn.init.zeros_(block.bn2["2bit"].weight)  # the residual is zero: the identity remains
    inputs = torch.randn(2, 8, 4, 4)
    expected = torch.relu(inputs)
    if quantize_identity:
        expected = block.act1(expected, at(2))
    assert torch.equal(block(inputs, [at(2), at(2)]), expected)
    assert len(expected.unique()) <= 4 or not quantize_identity


def test_a_block_follows_its_definition(tiny: Tiny) -> None:
    block = tiny().get_submodule("layer2.0")
    inputs = torch.randn(2, 4, 8, 8)
    first, second, shortcut = at(4), at(2), at(8)
    x = block.act1(inputs, first)
    inner = torch.relu(block.bn1["4bit"](block.conv1(x, first)))
    inner = block.act2(inner, second)
    residual = block.bn2["2bit"](block.conv2(inner, second))
    own = block.act1(inputs, shortcut)
    added = block.downsample[0](own, shortcut)
    added = block.downsample[1]["8bit"](added)
    assert torch.equal(block(inputs, [first, second, shortcut]), residual + added)


def test_dropout_stands_before_the_linear_layer(tiny: Tiny) -> None:
    network = tiny("resnet18", dropout=0.5)
    seen: list[Tensor] = []
    network.fc.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    network(torch.randn(64, 3, 16, 16), 8)
    share = (seen[0] == 0).float().mean()
    assert 0.3 < share < 0.7
    assert network.eval()(torch.randn(1, 3, 16, 16), 8).isfinite().all()


def test_a_block_at_another_precision_runs_with_its_weights_batch_norm_and_clip_levels(
    tiny: Tiny,
) -> None:
    network = tiny()
    for name, levels in network.clip_levels().items():
        for level in levels:
            nn.init.constant_(level, 0.2 * int(name.removesuffix("bit")))
    inputs = torch.randn(4, 3, 8, 8)
    low, high = network.assignment(2), network.assignment(8)
    assert torch.equal(network(inputs, Assignment(low.outside, high.layers)), network(inputs, 8))
    assert not torch.equal(network(inputs, 8), network(inputs, 2))


def test_each_convolution_may_quantize_its_own_input_and_the_identity_stay_in_floats(
    tiny: Tiny,
) -> None:
    """AdaBits' clip levels: as many as convolutions."""
    network = tiny("resnet50", shortcut_quantizer="own", quantize_identity=False)
    assert len(network.clip_levels()["2bit"]) == len(network.quantized_layers)
    block = network.get_submodule("layer2.0")
    nn.init.constant_(block.downsample.act.clip_levels["4bit"], 0.3)
    nn.init.zeros_(block.bn3["4bit"].weight)
    inputs = torch.randn(2, 8, 8, 8)
    x = block.downsample[0](block.downsample.act(inputs, at(4)), at(4))
    assert torch.equal(block(inputs, [at(4)] * 4), block.downsample[1]["4bit"](x))
    assert block.downsample.act(inputs, at(4)).min() == 0


@pytest.mark.parametrize(
    ("width_of", "inner", "out"),
    [("inner", [32, 64, 128, 256], 2048), ("all", [32, 64, 128, 256], 1024)],
)
def test_a_multiplier_acts_inside_bottlenecks_or_on_all_stages_but_never_on_the_stem(
    width_of: str, inner: list[int], out: int
) -> None:
    network = full_size("resnet50", width=0.5, width_of=width_of)
    stages = [network.get_submodule(f"layer{stage}.0") for stage in (1, 2, 3, 4)]
    assert [block.conv2.out_channels for block in stages] == inner
    assert network.fc.in_features == out
    assert network.conv1.out_channels == 64
