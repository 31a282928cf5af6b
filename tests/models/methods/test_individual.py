from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from models.methods.base import Batch, Step
from models.methods.individual import Individual, IndividualSettings
from models.networks.base import AnyBitNetwork
from models.precision import OperatingPoint
from tests.models.precisions import at as layer_at


def at(*bit_widths: int) -> list[OperatingPoint]:
    return [OperatingPoint.at(bits) for bits in bit_widths]


def test_the_loss_is_the_cross_entropy_of_the_only_bit_width(
    tiny: Callable[..., AnyBitNetwork], make_step: Callable[..., Step]
) -> None:
    network = tiny(bit_widths=(4,), code_bits=8).eval()
    inputs, labels = torch.randn(5, 3, 8, 8), torch.tensor([0, 1, 2, 0, 1])
    method = Individual(IndividualSettings(), at(4))
    halves = [Batch(inputs[:3], labels[:3]), Batch(inputs[3:], labels[3:])]
    passes = list(method.losses(network, halves, make_step()))
    assert [(point, teacher) for point, _, teacher in passes] == [("4bit", None)] * 2
    for (_, loss, _), half in zip(passes, halves, strict=True):
        assert torch.equal(loss, F.cross_entropy(network(half.inputs, 4), half.labels))


def test_a_network_of_one_bit_width_truncates_eight_bit_codes(
    tiny: Callable[..., AnyBitNetwork],
) -> None:
    method = Individual(IndividualSettings(), at(2))
    network = tiny(bit_widths=(2,), code_bits=method.code_bits)
    of_all = tiny()
    network.load_state_dict(of_all.state_dict(), strict=False)
    layers = [n.get_submodule("layer2.0.conv1") for n in (network, of_all)]
    inputs, low = torch.randn(2, 4, 8, 8), layer_at(2)
    assert torch.equal(layers[0](inputs, low), layers[1](inputs, low))


def test_codes_have_eight_bits_or_those_of_the_bit_width() -> None:
    assert Individual(IndividualSettings(), at(2)).code_bits == 8
    assert Individual(IndividualSettings(individual_b1="same"), at(2)).code_bits == 2


def test_several_bit_widths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"trains one bit-width, got \[8bit, 2bit\]"):
        Individual(IndividualSettings(), at(8, 2))
