import torch
from torch import nn

from models.layers.factory import LayerFactory
from models.layers.shortcut import Shortcut
from models.quantizers.settings import QuantizerSettings


def test_a_shortcut_is_a_strided_convolution_then_batch_norm_at_the_same_bit_width() -> None:
    shortcut = Shortcut(3, 5, 2, LayerFactory(QuantizerSettings(), (8, 2), 8, 1.0))
    inputs = torch.randn(4, 3, 6, 6)
    weight = shortcut[0].quantized_weight().fake_quantize(shortcut[0].weight, 2)
    expected = nn.BatchNorm2d(5)(nn.functional.conv2d(inputs, weight, stride=2))
    assert torch.equal(shortcut(inputs, 2, torch.tensor(1.0)), expected)
    assert "1.2.running_mean" in shortcut.state_dict()
