"""Crops and flips of clips, against Pillow's resizing and slices cut by hand."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from video.transforms import (
    center_crop,
    crop_positions,
    multi_scale_crop,
    random_flip,
    resize,
    resize_short_side,
    scale_and_center_crop,
)


def noise(*shape: int) -> Tensor:
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def coordinates(height: int, width: int) -> Tensor:
    """A clip of two frames whose channels hold the row, the column and zero."""
    rows = torch.arange(height)[:, None].expand(height, width)
    columns = torch.arange(width)[None].expand(height, width)
    frame = torch.stack([rows, columns, torch.zeros(height, width)])
    return frame.to(torch.uint8).expand(2, -1, -1, -1)


@pytest.mark.parametrize("size", [(32, 24), (90, 101)])
def test_resizing_agrees_with_pillow(size: tuple[int, int]) -> None:
    clip = noise(2, 3, 61, 83)
    resized = resize(clip, *size)
    for frame, result in zip(clip, resized, strict=True):
        image = Image.fromarray(frame.permute(1, 2, 0).numpy())
        expected = np.asarray(image.resize((size[1], size[0]), Image.Resampling.BILINEAR))
        difference = result.permute(1, 2, 0).numpy().astype(int) - expected.astype(int)
        assert np.abs(difference).max() <= 1


def test_the_short_side_is_resized_and_the_shape_kept() -> None:
    assert resize_short_side(noise(1, 3, 240, 320), 120).shape == (1, 3, 120, 160)
    assert resize_short_side(noise(1, 3, 320, 240), 120).shape == (1, 3, 160, 120)


def test_the_test_crop_is_the_center() -> None:
    clip = noise(2, 3, 20, 31)
    assert torch.equal(center_crop(clip, 10, 10), clip[..., 5:15, 10:20])
    assert torch.equal(scale_and_center_crop(clip, 20, 10), clip[..., 5:15, 10:20])


def test_full_scale_crops_slide_along_the_long_side_in_quarters() -> None:
    clip = noise(2, 3, 16, 32)
    allowed = [clip[..., left : left + 16] for left in (0, 4, 8, 12, 16)]
    generator = np.random.default_rng(0)
    seen = set()
    for _ in range(100):
        crop = multi_scale_crop(clip, 16, (1.0,), generator)
        seen.add(next(i for i, part in enumerate(allowed) if torch.equal(crop, part)))
    assert seen == set(range(5))


def test_positions_are_those_of_tsn() -> None:
    # The 5 fixed and 8 more crops of yjxiong/tsn-pytorch, transforms.py, fill_fix_offset, with
    # steps of a quarter of the spare room: here 4 down and 1 across.
    assert set(crop_positions(16, 4)) == {
        *((0, 0), (0, 4), (16, 0), (16, 4), (8, 2)),
        *((8, 0), (8, 4), (16, 2), (0, 2)),
        *((4, 1), (4, 3), (12, 1), (12, 3)),
    }


def test_crop_sides_are_neighboring_scales_of_the_short_side() -> None:
    scales, generator = (1.0, 0.875, 0.75, 0.66), np.random.default_rng(0)
    clip, seen = coordinates(200, 240), set()
    for _ in range(150):
        crop = multi_scale_crop(clip, 50, scales, generator).float()[0]
        # 50 samples at the middles of 50 equal parts span 49/50 of the crop.
        rows = (crop[0, -1, 0] - crop[0, 0, 0]) * 50 / 49
        columns = (crop[1, 0, -1] - crop[1, 0, 0]) * 50 / 49
        seen.add(
            tuple(
                min(range(4), key=lambda i: abs(side - 200 * scales[i])) for side in (rows, columns)
            )
        )
        assert all(min(abs(side - 200 * scale) for scale in scales) < 6 for side in (rows, columns))
    assert seen == {(i, j) for i in range(4) for j in range(4) if abs(i - j) <= 1}


def test_all_frames_of_a_clip_are_cut_alike() -> None:
    crop = multi_scale_crop(coordinates(40, 60), 20, (0.875, 0.66), np.random.default_rng(3))
    assert torch.equal(crop[0], crop[1])


def test_half_of_the_clips_are_mirrored() -> None:
    clip, generator = noise(2, 3, 4, 5), np.random.default_rng(0)
    mirrored = torch.from_numpy(clip.numpy()[..., ::-1].copy())
    results = [random_flip(clip, generator) for _ in range(400)]
    count = sum(torch.equal(result, mirrored) for result in results)
    assert 160 < count < 240
    assert all(torch.equal(r, mirrored) or torch.equal(r, clip) for r in results)


@pytest.mark.parametrize("shape", [(1, 20_000), (20_000, 1), (3, 9_000)])
def test_a_long_strip_is_cut_before_it_is_resized(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]
) -> None:
    resized: list[int] = []
    interpolate = F.interpolate

    def noting(clip: Tensor, **options: Any) -> Tensor:
        found = interpolate(clip, **options)
        resized.append(found.numel())
        return found

    monkeypatch.setattr(F, "interpolate", noting)
    clip = torch.zeros(1, 3, *shape, dtype=torch.uint8)
    clip[..., shape[0] // 2, shape[1] // 2] = 255  # the middle is kept
    found = scale_and_center_crop(clip, 256, 224)
    assert found.shape == (1, 3, 224, 224)
    assert found.max() > 0
    assert max(resized) <= 3 * 256 * 1024


def test_what_is_not_that_long_is_resized_whole() -> None:
    clip = torch.arange(3 * 40 * 150, dtype=torch.float32).remainder(251).byte().view(1, 3, 40, 150)
    expected = center_crop(resize_short_side(clip, 32), 24, 24)
    assert torch.equal(scale_and_center_crop(clip, 32, 24), expected)
