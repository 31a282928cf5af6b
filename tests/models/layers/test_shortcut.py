import pytest
import torch
from torch import nn

from models.layers.factory import LayerFactory
from models.layers.layout import Layout
from models.layers.shortcut import PooledShortcut, QuantizingShortcut, Shortcut
from models.quantizers.settings import QuantizerSettings
from tests.models.precisions import at, precisions

FACTORY = LayerFactory(QuantizerSettings(), precisions(8, 2), Layout(), 8)


def test_a_shortcut_is_a_strided_convolution_then_batch_norm_at_the_same_precision() -> None:
    shortcut = Shortcut(3, 5, 2, FACTORY)
    inputs = torch.randn(4, 3, 6, 6)
    expected = nn.BatchNorm2d(5)(nn.functional.conv2d(inputs, shortcut[0].weight_at(2), stride=2))
    torch.testing.assert_close(shortcut(inputs, at(2)), expected)
    assert "1.2bit.running_mean" in shortcut.state_dict()


@pytest.mark.parametrize("signed", [True, False])
def test_a_shortcut_may_have_a_clip_level_of_its_own(signed: bool) -> None:
    shortcut = QuantizingShortcut(3, 5, 2, FACTORY, signed=signed)
    inputs = torch.randn(4, 3, 6, 6)
    quantized = shortcut.act(inputs, at(2))
    expected = Shortcut.forward(shortcut, quantized, at(2))
    assert torch.equal(shortcut(inputs, at(2)), expected)
    assert (quantized.min() < 0) == signed
    assert set(shortcut.act.clip_levels) == {"8bit", "2bit"}


@pytest.mark.parametrize(("size", "places"), [(6, 3), (7, 4)])
def test_a_pooled_shortcut_averages_what_there_is(size: int, places: int) -> None:
    """Of 7 places, the last average is of one; a 3x3 convolution of stride 2 ends as large."""
    shortcut = PooledShortcut(3, 5, 2, FACTORY)
    inputs = torch.randn(2, 3, size, size)
    pooled = torch.stack([part.mean(dim=-1) for part in inputs.split(2, dim=-1)], dim=-1)
    pooled = torch.stack([part.mean(dim=-2) for part in pooled.split(2, dim=-2)], dim=-2)
    expected = Shortcut.forward(shortcut, shortcut.act(pooled, at(8)), at(8))
    found = shortcut(inputs, at(8))
    assert found.shape == (2, 5, places, places)
    torch.testing.assert_close(found, expected)
    assert tuple(shortcut[0].stride) == (1, 1)
