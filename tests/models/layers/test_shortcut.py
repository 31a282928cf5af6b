import torch
from torch import nn

from models.layers.factory import LayerFactory
from models.layers.layout import Layout
from models.layers.shortcut import Shortcut
from models.quantizers.settings import QuantizerSettings
from tests.models.precisions import at, precisions


def test_a_shortcut_is_a_strided_convolution_then_batch_norm_at_the_same_precision() -> None:
    shortcut = Shortcut(3, 5, 2, LayerFactory(QuantizerSettings(), precisions(8, 2), Layout(), 8))
    inputs = torch.randn(4, 3, 6, 6)
    expected = nn.BatchNorm2d(5)(nn.functional.conv2d(inputs, shortcut[0].weight_at(2), stride=2))
    torch.testing.assert_close(shortcut(inputs, at(2)), expected)
    assert "1.2bit.running_mean" in shortcut.state_dict()
