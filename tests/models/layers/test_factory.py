import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models.layers.factory import LayerFactory
from models.layers.layout import Layout
from models.layers.norm import (
    SharedBatchNorm2d,
    SwitchableBatchNorm2d,
    TransitionalBatchNorm2d,
)
from models.quantizers.adabits import AdaBitsSettings
from models.quantizers.pact import Pact, PactSettings
from models.quantizers.settings import QuantizerSettings
from tests.models.precisions import at, precisions


def factory(*texts: int | str, code_bits: int = 8, **layout: str) -> LayerFactory:
    settings = QuantizerSettings(activations=PactSettings(clip_init=5.0))
    shown = precisions(*(texts or (4, 2)))
    return LayerFactory(settings, shown, Layout(**layout), code_bits)  # type: ignore[arg-type]


def levels(layers: LayerFactory) -> dict[str, float]:
    quantizer = layers.activation(signed=True)
    assert isinstance(quantizer, Pact)
    assert quantizer.signed
    return {name: level.item() for name, level in quantizer.clip_levels.items()}


def test_every_clip_level_starts_at_the_given_value() -> None:
    assert levels(factory("w8a4", "w1a4", "w2a32")) == {"w8a4": 5.0, "w1a4": 5.0}


def test_clip_levels_may_be_shared_and_a_float_network_has_none() -> None:
    assert levels(factory(8, 4, clip="shared")) == {"shared": 5.0}
    assert levels(factory("float", clip="shared")) == {}


@pytest.mark.parametrize(
    ("norm", "kind", "sets"),
    [
        ("shared", SharedBatchNorm2d, 1),
        ("switchable", SwitchableBatchNorm2d, 2),
        ("transitional", TransitionalBatchNorm2d, 4),
    ],
)
def test_batch_norm_is_as_the_layout_says(norm: str, kind: type, sets: int) -> None:
    made = factory(norm=norm).norm(3)
    assert isinstance(made, kind)
    assert sum(name.endswith("running_mean") for name in made.state_dict()) == sets


def test_the_stem_shares_its_batch_norm_or_switches_it() -> None:
    assert isinstance(factory().stem_norm(3, shared=True), SharedBatchNorm2d)
    assert isinstance(factory().stem_norm(3, shared=False), SwitchableBatchNorm2d)


@pytest.mark.parametrize(("code_bits", "bits"), [(9, 4), (3, 4)])
def test_weights_that_the_codes_cannot_hold_are_refused(code_bits: int, bits: int) -> None:
    with pytest.raises(ValueError, match=f"{bits}-bit weights do not fit {code_bits}-bit codes"):
        factory(code_bits=code_bits)


def test_the_head_has_a_clip_level_of_its_own_if_one_is_given() -> None:
    for own, expected in ((10.0, 10.0), (None, 5.0)):
        pact = PactSettings(clip_init=5.0, head_clip_init=own)
        settings = QuantizerSettings(activations=pact, head_bits=8)
        layers = LayerFactory(settings, precisions(4, 2), Layout(), 4)
        act = layers.head(6, 3).act
        assert isinstance(act, Pact)
        assert {name: level.item() for name, level in act.clip_levels.items()} == {
            "4bit": expected,
            "2bit": expected,
        }
        assert levels(layers) == {"4bit": 5.0, "2bit": 5.0}


def test_in_a_float_network_stem_and_head_are_float_whatever_their_bits() -> None:
    settings = QuantizerSettings(stem_bits=8, head_bits=8)
    layers = LayerFactory(settings, precisions("float"), Layout(norm="shared"), 8)
    assert type(layers.stem(4, 3)) is nn.Conv2d
    assert layers.head(6, 3).quantizer is None


def test_a_float_network_of_clamped_weights_clamps_its_first_and_last_layer_too() -> None:
    weights = AdaBitsSettings(clamp_float=True, rescale="head")
    settings = QuantizerSettings(weights=weights, stem_bits=8, head_bits=8)
    layers = LayerFactory(settings, precisions("float"), Layout(norm="shared"), 8)
    stem, conv, head = layers.stem(4, 3), layers.conv(4, 6, 3), layers.head(6, 3)
    clamped = [layer.weight.tanh() / layer.weight.tanh().abs().max() for layer in (stem, conv)]
    images, features, pooled = torch.randn(2, 3, 5, 5), torch.randn(2, 4, 5, 5), torch.randn(2, 6)
    close = torch.testing.assert_close
    close(stem(images), F.conv2d(images, clamped[0], padding=1))
    close(conv(features, at("float")), F.conv2d(features, clamped[1], padding=1))
    last = head.weight.tanh() / head.weight.tanh().abs().max()
    scaled = last / (3 * last.var()).sqrt()
    close(head(pooled, at("float")), F.linear(pooled, scaled, head.bias))
    names = {name for layer in (stem, conv, head) for name, _ in layer.named_parameters()}
    assert names == {"weight", "bias"}
