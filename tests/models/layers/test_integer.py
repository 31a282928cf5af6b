"""What a convolution of codes keeps and gives back, against float64 written plainly."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.kernels import kernel_for
from models.layers.conv import QuantizedConv2d
from models.networks.base import AnyBitNetwork
from models.quantized import Codes, decoded, values_of
from models.quantizers import WEIGHT_QUANTIZERS
from models.quantizers.pact import Pact, PactSettings
from models.table import resolve
from tests.models.precisions import at
from tests.models.representatives import KINDS_OF_WEIGHTS

KERNEL = kernel_for(torch.device("cpu"))
BLOCKS = {"resnet18_cifar": "layer2.1", "resnet50": "layer2.1", "mobilenet_v2_cifar": "layers.2"}


@contextmanager
def kept_bytes() -> Iterator[dict[torch.dtype, int]]:
    """What autograd keeps, by type; each memory once, and none that was there before."""
    memory: dict[int, tuple[torch.dtype, int]] = {}
    alive: list[Tensor] = []  # an address is not used twice while its tensor lives
    found: dict[torch.dtype, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, nn.Parameter):
            alive.append(tensor)
            storage = tensor.untyped_storage()
            memory[storage.data_ptr()] = tensor.dtype, storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield found
    for dtype, size in memory.values():
        found[dtype] = found.get(dtype, 0) + size


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("bits", [8, 2])
def test_a_block_keeps_two_bytes_for_each_quantized_input_and_what_batch_norm_does(
    tiny: Callable[..., AnyBitNetwork], name: str, bits: int
) -> None:
    """Codes and places. Batch norm keeps its input in floats; all else is as small as weights."""
    network = tiny(name)
    network.compute_in(KERNEL)
    block = network.get_submodule(BLOCKS[name])
    inputs: list[int] = []
    outputs: list[int] = []
    weights = 0
    for module in block.modules():
        if isinstance(module, Pact):
            module.register_forward_pre_hook(lambda _, given: inputs.append(given[0].numel()))
        if isinstance(module, QuantizedConv2d):
            module.register_forward_hook(lambda _, given, out: outputs.append(out.numel()))
            weights += module.weight.numel()
    channels = next(m.in_channels for m in block.modules() if isinstance(m, QuantizedConv2d))
    features = torch.randn(16, channels, 16, 16, requires_grad=True)
    with kept_bytes() as kept:
        block(features, [at(bits)] * 4)
    assert kept.keys() <= {torch.uint8, torch.float32, torch.float64}
    assert 2 * sum(inputs) <= kept[torch.uint8] <= 2 * sum(inputs) + weights
    assert kept[torch.float32] <= 4 * sum(outputs) + 4 * weights + 1000
    assert kept.get(torch.float64, 0) < 1000


@pytest.mark.parametrize("weights", KINDS_OF_WEIGHTS)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 1, "w32a4", "w4a32"])
@pytest.mark.parametrize(
    ("channels", "filters", "height", "width"),
    [(4, 8, 8, 8), (64, 128, 8, 8), (64, 128, 7, 5), (4, 8, 5, 1), (3, 7, 1, 9)],
)
def test_a_strided_1x1_convolution_has_the_gradients_of_float64(
    weights: str,
    signed: bool,
    bits: int | str,
    channels: int,
    filters: int,
    height: int,
    width: int,
) -> None:
    """Those of its inputs as well: what the stride skips gets none."""
    kind = resolve(WEIGHT_QUANTIZERS, weights)
    quantizer = kind(kind.Settings(), range(1, 9), 8)
    conv = QuantizedConv2d(channels, filters, 1, quantizer=quantizer, stride=2)
    conv.start_quantizer()
    names = ["8bit", "1bit", "w32a4", "w4a32"]
    act = Pact(PactSettings(clip_init=1.3), names, signed=signed)
    conv.kernel, act.in_codes = KERNEL, True
    x = torch.randn(3, channels, height, width).contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    quantized = act(x, at(bits))
    assert isinstance(quantized, Codes) == (bits != "w4a32")
    output = conv(quantized, at(bits))
    upstream = torch.randn_like(output)
    given = quantized.stand_in if isinstance(quantized, Codes) else quantized
    values = values_of(quantized).detach().double().requires_grad_()
    weight = conv.weight_at(at(bits).own.weights)
    exact = weight.detach().double().requires_grad_()
    expected = F.conv2d(values, exact, stride=2)
    assert (output - expected).abs().max() < 2e-6 * expected.abs().max()
    grad_values, grad_exact = torch.autograd.grad(expected, (values, exact), upstream.double())
    (wanted,) = torch.autograd.grad(weight, conv.weight, grad_exact.to(weight.dtype))
    grad_given, gradient = torch.autograd.grad(output, (given, conv.weight), upstream)
    assert (grad_given - grad_values).abs().max() <= 2e-6 * grad_values.abs().max()
    assert (gradient - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def test_of_a_strided_1x1_convolution_only_the_inputs_in_use_are_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind = resolve(WEIGHT_QUANTIZERS, "coquant_trunc")
    conv = QuantizedConv2d(4, 8, 1, quantizer=kind(kind.Settings(), [4], 8), stride=2)
    act = Pact(PactSettings(), ["4bit"], signed=False)
    conv.kernel, act.in_codes = KERNEL, True
    output = conv(act(torch.randn(3, 4, 8, 8), at(4)), at(4))
    made: list[Tensor] = []

    def watched(*given: Any) -> Tensor:
        made.append(decoded(*given))
        return made[-1]

    monkeypatch.setattr("models.layers.integer.decoded", watched)
    output.sum().backward()
    assert [values.shape for values in made] == [(3, 4, 4, 4)]
    assert made[0].is_contiguous(memory_format=torch.channels_last)
