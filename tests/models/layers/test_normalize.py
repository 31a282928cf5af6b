"""Against the formula in float64."""

import pytest
import torch

from models.layers.normalize import Normalize

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


@pytest.mark.parametrize("lead", [(2,), (2, 4)])
def test_pixels_become_units_of_their_deviation(lead: tuple[int, ...]) -> None:
    pixels = torch.randint(0, 256, (*lead, 3, 5, 4), dtype=torch.uint8)
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-14)):
        given = Normalize(MEAN, STD)(pixels, dtype)
        for channel in range(3):
            expected = (pixels[..., channel, :, :].double() / 255 - MEAN[channel]) / STD[channel]
            found = given[..., channel, :, :]
            torch.testing.assert_close(found.double(), expected, rtol=0, atol=tolerance)
        assert given.dtype == dtype


def test_floats_go_on_as_they_are() -> None:
    inputs = torch.randn(2, 3, 5, 4)
    assert Normalize(MEAN, STD)(inputs, torch.float32) is inputs


def test_the_scale_is_stored_exactly() -> None:
    assert Normalize(MEAN, STD).state_dict()["mean"].tolist() == list(MEAN)
