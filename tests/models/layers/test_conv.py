"""What bit-widths share is computed once; values against the quantizer applied by hand."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from models.layers.conv import QuantizedConv2d
from models.methods.base import Step
from models.methods.coquant import CoQuant, CoQuantSettings
from models.networks.base import AnyBitNetwork
from models.quantizers.settings import QuantizerSettings
from models.quantizers.truncated import TruncatedWeight

BITS = (8, 6, 4, 2)


class Calls(TorchDispatchMode):
    """Counts the calls of each torch operation."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count[func.overloadpacket.__name__] += 1
        return func(*args, **kwargs or {})


def conv(**arguments: Any) -> QuantizedConv2d:
    return QuantizedConv2d(3, 6, 3, quantizer=QuantizerSettings(), code_bits=8, **arguments)


def test_a_convolution_uses_the_weight_at_the_bit_width_of_the_call() -> None:
    layer = conv(stride=2, groups=3)
    inputs = torch.randn(2, 3, 8, 8)
    weight = TruncatedWeight(layer.weight, QuantizerSettings(), 8).fake_quantize(layer.weight, 2)
    expected = F.conv2d(inputs, weight, stride=2, padding=1, groups=3)
    assert torch.equal(layer(inputs, 2), expected)


def train_step(network: AnyBitNetwork, step: Step, micro_steps: int) -> Counter[str]:
    method = CoQuant(CoQuantSettings(), BITS)
    with Calls() as calls:
        for _ in range(micro_steps):
            inputs, labels = torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])
            for loss in method.losses(network, inputs, labels, step):
                loss.loss.backward()
    return calls.count


def test_bit_widths_and_micro_steps_share_tanh_maximum_codes_and_histogram(
    tiny: Callable[..., AnyBitNetwork], make_step: Callable[..., Step]
) -> None:
    network = tiny()
    layers = sum(isinstance(m, QuantizedConv2d) for m in network.modules())
    counted = train_step(network, make_step(), micro_steps=3)
    assert counted["tanh"] == counted["amax"] == counted["bincount"] == layers
    again = train_step(network, make_step(), micro_steps=1)
    assert (again["tanh"], again["bincount"]) == (0, 0)


def test_a_step_of_the_optimizer_makes_them_anew(
    tiny: Callable[..., AnyBitNetwork], make_step: Callable[..., Step]
) -> None:
    network = tiny()
    layers = sum(isinstance(m, QuantizedConv2d) for m in network.modules())
    before = network.weight_distance(8, 2)
    train_step(network, make_step(), micro_steps=1)
    torch.optim.SGD(network.parameters(), lr=0.1).step()
    assert network.weight_distance(8, 2) != before
    assert train_step(network, make_step(), micro_steps=2)["tanh"] == 0
    torch.optim.SGD(network.parameters(), lr=0.1).step()
    assert train_step(network, make_step(), micro_steps=2)["tanh"] == layers


def test_load_state_dict_makes_them_anew() -> None:
    layer, other = conv(), conv()
    inputs = torch.randn(1, 3, 4, 4)
    assert not torch.equal(layer(inputs, 2), other(inputs, 2))
    layer.load_state_dict(other.state_dict())
    assert torch.equal(layer(inputs, 2), other(inputs, 2))
    assert layer.weight_distance(8, 2) == other.weight_distance(8, 2)


def test_another_type_makes_them_anew() -> None:
    layer = conv()
    layer.weight_distance(8, 2)
    assert layer.double()(torch.randn(1, 3, 4, 4).double(), 4).dtype == torch.float64


def test_training_can_follow_an_evaluation_in_inference_mode() -> None:
    layer = conv()
    inputs = torch.randn(1, 3, 4, 4)
    with torch.inference_mode():
        evaluated = layer(inputs, 4)
        layer.weight_distance(8, 4)
    trained = layer(inputs, 4)
    trained.sum().backward()
    assert torch.equal(evaluated, trained)
    assert layer.weight.grad is not None


@pytest.mark.parametrize("bits", BITS)
def test_codes_in_use_are_the_stored_ones_with_bits_dropped(bits: int) -> None:
    layer = conv()
    layer(torch.randn(1, 3, 4, 4), bits)
    weight = layer.quantized_weight()
    assert torch.equal(weight.codes(bits), weight.codes(8) >> (8 - bits))
