"""Against nn.functional.linear on values quantized by hand."""

import torch
from torch.nn import functional as F

from models.layers.factory import LayerFactory
from models.layers.layout import Layout
from models.quantizers.settings import QuantizerSettings
from tests.models.precisions import at, precisions


def factory(**bits: int) -> LayerFactory:
    return LayerFactory(QuantizerSettings(**bits), precisions(4, 2), Layout(), 4)  # type: ignore[arg-type]


def test_a_head_without_bits_is_a_linear_layer() -> None:
    head, inputs = factory().head(6, 3), torch.randn(5, 6)
    assert torch.equal(head(inputs, at(2)), F.linear(inputs, head.weight, head.bias))


def test_a_heads_weights_keep_their_bits_while_its_inputs_have_those_of_the_point() -> None:
    head, inputs = factory(head_bits=8).head(6, 3), 4 * torch.rand(5, 6)
    tanh = head.weight.detach().tanh()
    weight = 2 * (255 * (tanh / (2 * tanh.abs().max()) + 0.5)).round() / 255 - 1
    for bits in (4, 2):
        top = 2**bits - 1
        quantized = 8.0 * (inputs / 8.0 * top).round() / top
        torch.testing.assert_close(head(inputs, at(bits)), F.linear(quantized, weight, head.bias))


def test_a_stem_quantizes_its_weights_and_not_the_images() -> None:
    stem, images = factory(stem_bits=1).stem(4, 3, stride=2), torch.randn(2, 3, 8, 8)
    weight = stem.weight.detach().sign()
    torch.testing.assert_close(stem(images), F.conv2d(images, weight, stride=2, padding=1))
