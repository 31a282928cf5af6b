import pytest
from torch import nn

from models.layers.initialise import initialise


def test_convolution_weights_have_the_spread_of_kaiming_over_fan_out() -> None:
    convolution = nn.Conv2d(40, 60, 3)
    initialise(nn.Sequential(convolution))
    assert convolution.weight.std().item() == pytest.approx((2 / (60 * 9)) ** 0.5, rel=0.05)
    assert abs(convolution.weight.mean().item()) < 0.002
