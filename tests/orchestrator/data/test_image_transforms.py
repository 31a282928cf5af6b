"""Crops of images and normalization, against naive arithmetic."""

import numpy as np
import pytest
import torch

from orchestrator.data.image_transforms import (
    choose_crop,
    random_resized_crop,
    resized_center_crop,
)


def test_crops_have_the_areas_and_aspects_of_the_paper() -> None:
    generator = np.random.default_rng(0)
    crops = np.array([choose_crop(240, 320, generator) for _ in range(2000)])
    top, left, height, width = crops.T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= 240).all()
    assert (left + width <= 320).all()
    area, aspect = height * width / (240 * 320), width / height
    assert area.min() == pytest.approx(0.08, abs=0.01)
    assert area.max() > 0.9
    assert aspect.min() == pytest.approx(3 / 4, abs=0.02)
    assert aspect.max() == pytest.approx(4 / 3, abs=0.03)
    # Half the image fits at every aspect, so that no draw below it was thrown away.
    assert np.median(area[area < 0.5]) == pytest.approx((0.08 + 0.5) / 2, abs=0.02)


@pytest.mark.parametrize(
    ("shape", "expected"), [((10, 500), (0, 243, 10, 13)), ((500, 12), (242, 0, 16, 12))]
)
def test_an_image_too_long_for_any_crop_gives_its_middle(
    shape: tuple[int, int], expected: tuple[int, int, int, int]
) -> None:
    assert choose_crop(*shape, np.random.default_rng(0)) == expected


def test_training_crops_have_the_size_asked_for() -> None:
    image = torch.randint(256, (3, 30, 50), dtype=torch.uint8)
    crop = random_resized_crop(image, 16, np.random.default_rng(0))
    assert (crop.shape, crop.dtype) == ((3, 16, 16), torch.uint8)


def test_the_test_crop_is_the_center() -> None:
    image = torch.randint(256, (3, 20, 30), dtype=torch.uint8)
    assert torch.equal(resized_center_crop(image, 20, 10), image[:, 5:15, 10:20])
