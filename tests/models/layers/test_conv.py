"""What bit-widths share is computed once; values against the quantizer applied by hand."""

from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from io import BytesIO
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from models.kernels import FloatKernel, Kernel, Packed, kernel_for
from models.layers.conv import QuantizedConv2d
from models.methods.base import Batch, Step
from models.methods.coquant import CoQuant, CoQuantSettings
from models.networks.base import AnyBitNetwork
from models.networks.sharing import sharing
from models.precision import OperatingPoint
from models.quantized import values_of
from models.quantizers import WEIGHT_QUANTIZERS
from models.quantizers.base import WeightQuantizer
from models.quantizers.pact import Pact, PactSettings
from models.table import resolve
from tests.models.precisions import Bound, at
from tests.models.representatives import KINDS_OF_WEIGHTS

BITS = (8, 6, 4, 2)


class Calls(TorchDispatchMode):
    """Counts the calls of each torch operation."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count[func.overloadpacket.__name__] += 1
        return func(*args, **kwargs or {})


@pytest.fixture(scope="module")
def kernel() -> Kernel:
    """The kernel of this processor."""
    found = kernel_for(torch.device("cpu"))
    assert found is not None
    return found


def quantizer(name: str = "coquant_trunc") -> WeightQuantizer:
    kind: type[WeightQuantizer] = resolve(WEIGHT_QUANTIZERS, name)
    return kind(kind.Settings(), BITS, 8)


def conv(**arguments: Any) -> QuantizedConv2d:
    return QuantizedConv2d(3, 6, 3, quantizer=quantizer(), **arguments)


def test_a_convolution_uses_the_weight_at_the_bit_width_of_the_call() -> None:
    layer = conv(stride=2, groups=3)
    inputs = torch.randn(2, 3, 8, 8)
    weight = Bound(type(layer.quantizer), layer.weight).values(2)
    expected = F.conv2d(inputs, weight, stride=2, padding=1, groups=3)
    assert torch.equal(layer(inputs, at(2)), expected)


SHAPES = [
    {"kernel_size": 3},
    {"kernel_size": 3, "stride": 2},
    {"kernel_size": 1, "stride": 2},
    {"kernel_size": 3, "groups": 6},
    {"kernel_size": 3, "groups": 2},
]


def quantized_layers(
    shape: dict[str, int], weight_quant: str, *, signed: bool
) -> tuple[Pact, QuantizedConv2d]:
    layer = QuantizedConv2d(6, 12, quantizer=quantizer(weight_quant), **shape)
    layer.start_quantizer()
    names = [f"{bits}bit" for bits in BITS]
    return Pact(PactSettings(clip_init=1.3), names, signed=signed), layer


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("weight_quant", KINDS_OF_WEIGHTS)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", BITS)
def test_codes_give_the_convolution_of_values_and_its_gradients(
    shape: dict[str, int], weight_quant: str, signed: bool, bits: int, kernel: Kernel
) -> None:
    act, layer = quantized_layers(shape, weight_quant, signed=signed)
    inputs = torch.randn(2, 6, 7, 7, requires_grad=True)
    results = []
    for chosen in (None, kernel):
        layer.kernel, act.in_codes = chosen, chosen is not None
        output = layer(act(inputs, at(bits)), at(bits))
        upstream = torch.linspace(-1, 1, output.numel()).view(output.shape)
        wanted = (inputs, layer.weight, act.clip_levels.at(at(bits)))
        results.append((output, *torch.autograd.grad(output, wanted, upstream)))
    for by_values, by_codes in zip(*results, strict=True):
        close = 1e-5 * (by_values.abs().max().item() + 1)
        torch.testing.assert_close(by_codes, by_values, rtol=1e-5, atol=close)


def test_gradients_in_bfloat16_are_rounded_to_8_bits(kernel: Kernel) -> None:
    act, layer = quantized_layers({"kernel_size": 3}, "coquant_trunc", signed=False)
    inputs = torch.randn(2, 6, 7, 7, requires_grad=True)
    layer.kernel, act.in_codes = kernel, True
    results = []
    for dtype in (torch.float32, torch.bfloat16):
        layer.dtype = dtype
        output = layer(act(inputs, at(4)), at(4))
        upstream = torch.linspace(-1, 1, output.numel()).view(output.shape)
        results.append((output, *torch.autograd.grad(output, (inputs, layer.weight), upstream)))
    (output, *exact), (same, *rough) = results
    assert torch.equal(same, output)
    for gradient, rounded in zip(exact, rough, strict=True):
        assert 0 < (rounded - gradient).norm() < 2**-7 * gradient.norm()


@pytest.mark.parametrize("in_codes", [False, True])
def test_a_weight_that_is_not_a_number_shows(in_codes: bool, kernel: Kernel) -> None:
    act, layer = quantized_layers({"kernel_size": 3}, "coquant_trunc", signed=False)
    layer.kernel, act.in_codes = kernel, in_codes
    with torch.no_grad():
        layer.weight[0, 0, 0, 0] = torch.nan
    assert layer(act(torch.ones(1, 6, 4, 4), at(4)), at(4)).isnan().all()


class Doubled(FloatKernel):
    """Wrong by a factor of 2, as one can be that comes from another processor."""

    def convolve(self, codes: Tensor, packed: Packed, scale: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve with twice the scale."""
        return super().convolve(codes, packed, 2 * scale, bias)


def saved(layer: QuantizedConv2d) -> QuantizedConv2d:
    """A layer, written to a file and read."""
    file = BytesIO()
    torch.save(layer, file)
    file.seek(0)
    read: QuantizedConv2d = torch.load(file, weights_only=False)
    return read


@pytest.mark.parametrize("copied", [saved, deepcopy])
def test_a_copy_has_the_kernel_only_if_it_is_exact_here(
    copied: Callable[[QuantizedConv2d], QuantizedConv2d], kernel: Kernel
) -> None:
    layer = conv()
    for own, taken in ((kernel, kernel), (Doubled(), None), (None, None)):
        layer.kernel = own
        assert copied(layer).kernel == taken


@pytest.mark.parametrize("precision", [4, "w4a32", "w32a4"])
@pytest.mark.parametrize(("channels", "filters", "size"), [(4, 8, 8), (8, 16, 5), (16, 20, 4)])
def test_a_strided_shortcut_has_the_gradients_of_float64(
    precision: int | str, channels: int, filters: int, size: int, kernel: Kernel
) -> None:
    """oneDNN's own, channels last, are not on every processor: they can end the process."""
    layer = QuantizedConv2d(channels, filters, 1, quantizer=quantizer(), stride=2)
    act = Pact(PactSettings(clip_init=1.3), ["4bit", "w32a4"], signed=False)
    layer.kernel, act.in_codes = kernel, True
    inputs = torch.randn(4, channels, size, size).contiguous(memory_format=torch.channels_last)
    for _ in range(20):
        quantized = values_of(act(inputs, at(precision))).detach().requires_grad_()
        given = act(inputs, at(precision)) if precision == 4 else quantized
        output = layer(given, at(precision))
        upstream = torch.randn_like(output)
        (gradient,) = torch.autograd.grad(output, layer.weight, upstream)
    exact = layer.double().weight_at(at(precision).own.weights)
    wanted = F.conv2d(quantized.double(), exact, stride=2)
    (expected,) = torch.autograd.grad(wanted, layer.weight, upstream.double())
    torch.testing.assert_close(gradient.double(), expected, rtol=1e-4, atol=1e-4)


def train_step(network: AnyBitNetwork, step: Step, passes: int) -> Counter[str]:
    method = CoQuant(CoQuantSettings(), [OperatingPoint.at(bits) for bits in BITS])
    labels = torch.tensor([0, 1, 2, 0])
    batches = [Batch(torch.randn(4, 3, 8, 8), labels) for _ in range(passes)]
    inputs = [batch.inputs for batch in batches]
    with Calls() as calls, sharing(network, inputs, len(method.points)):
        for loss in method.losses(network, batches, step):
            loss.loss.backward()
    return calls.count


def test_bit_widths_and_passes_share_tanh_maximum_codes_and_histogram(
    tiny: Callable[..., AnyBitNetwork], make_step: Callable[..., Step]
) -> None:
    network = tiny()
    layers = sum(isinstance(m, QuantizedConv2d) for m in network.modules())
    counted = train_step(network, make_step(), passes=3)
    # A tanh of all weights for the codes, one for the gradient, and one of the largest weight each.
    assert counted["tanh"] == 4 * layers
    assert counted["amax"] == counted["bincount"] == counted["tanh_backward"] == layers
    again = train_step(network, make_step(), passes=1)
    assert (again["amax"], again["bincount"], again["tanh_backward"]) == (0, 0, layers)


def test_a_step_of_the_optimizer_recomputes_them(
    tiny: Callable[..., AnyBitNetwork], make_step: Callable[..., Step]
) -> None:
    network = tiny()
    layers = sum(isinstance(m, QuantizedConv2d) for m in network.modules())
    before = network.weight_distance(8, 2)
    train_step(network, make_step(), passes=1)
    torch.optim.SGD(network.parameters(), lr=0.1).step()
    assert network.weight_distance(8, 2) != before
    assert train_step(network, make_step(), passes=2)["bincount"] == 0
    torch.optim.SGD(network.parameters(), lr=0.1).step()
    assert train_step(network, make_step(), passes=2)["bincount"] == layers


def test_load_state_dict_recomputes_them() -> None:
    layer, other = conv(), conv()
    inputs = torch.randn(1, 3, 4, 4)
    assert not torch.equal(layer(inputs, at(2)), other(inputs, at(2)))
    layer.load_state_dict(other.state_dict())
    assert torch.equal(layer(inputs, at(2)), other(inputs, at(2)))
    assert layer.weight_distance(8, 2) == other.weight_distance(8, 2)


def test_another_type_recomputes_them() -> None:
    layer = conv()
    layer.weight_distance(8, 2)
    assert layer.double()(torch.randn(1, 3, 4, 4).double(), at(4)).dtype == torch.float64


def test_training_can_follow_an_evaluation_in_inference_mode() -> None:
    layer = conv()
    inputs = torch.randn(1, 3, 4, 4)
    with torch.inference_mode():
        evaluated = layer(inputs, at(4))
        layer.weight_distance(8, 4)
    trained = layer(inputs, at(4))
    trained.sum().backward()
    assert torch.equal(evaluated, trained)
    assert layer.weight.grad is not None


@pytest.mark.parametrize("bits", BITS)
def test_codes_in_use_are_the_stored_ones_with_bits_dropped(bits: int) -> None:
    layer = conv()
    layer(torch.randn(1, 3, 4, 4), at(bits))
    assert torch.equal(layer.levels(bits).codes, layer.levels(8).codes >> (8 - bits))
