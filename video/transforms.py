"""Crops, flips and resizing of clips: uint8 tensors (frames, channels, height, width).

All frames of a clip are cropped and flipped in the same way.
"""

from collections.abc import Sequence

import numpy as np
from torch import Tensor
from torch.nn import functional as F

LONGEST = 4
"""How many short sides of a clip are resized for a crop from its center."""


def multi_scale_crop(
    clip: Tensor, size: int, scales: Sequence[float], generator: np.random.Generator
) -> Tensor:
    """Cut a random crop whose sides are scales of the short side; resize it to (size, size).

    As MultiScaleCrop of TSN (Wang et al., ECCV 2016): neighboring scales may be combined (a mild
    distortion), and the crop lies at one of 13 fixed positions (see crop_positions).
    """
    height, width = clip.shape[-2:]
    pairs = [(i, j) for i in range(len(scales)) for j in range(len(scales)) if abs(i - j) <= 1]
    i, j = pairs[generator.integers(len(pairs))]
    crop_height = max(1, int(min(height, width) * scales[i]))
    crop_width = max(1, int(min(height, width) * scales[j]))
    positions = crop_positions(height - crop_height, width - crop_width)
    top, left = positions[generator.integers(len(positions))]
    return resize(clip[..., top : top + crop_height, left : left + crop_width], size, size)


def crop_positions(spare_height: int, spare_width: int) -> list[tuple[int, int]]:
    """Return the 13 positions (top, left) of TSN's fixed crops, in quarters of the margin.

    The corners, the middles of the sides, the center, and the four points halfway to the corners.
    """
    quarters = [
        *((0, 0), (0, 4), (4, 0), (4, 4), (2, 2)),
        *((2, 0), (2, 4), (4, 2), (0, 2)),
        *((1, 1), (1, 3), (3, 1), (3, 3)),
    ]
    return [(i * spare_height // 4, j * spare_width // 4) for i, j in quarters]


def random_flip(clip: Tensor, generator: np.random.Generator) -> Tensor:
    """Mirror left to right with probability one half."""
    return clip.flip(-1) if generator.random() < 0.5 else clip


def scale_and_center_crop(clip: Tensor, short_side: int, size: int) -> Tensor:
    """Resize the short side, then cut (size, size) from the center. Needs size <= short_side.

    Of a clip that is longer than LONGEST short sides only the middle is resized: it may be a
    thousand times as large as what is cut from it.
    """
    height, width = clip.shape[-2:]
    most = LONGEST * min(height, width)
    middle = center_crop(clip, min(height, most), min(width, most))
    return center_crop(resize_short_side(middle, short_side), size, size)


def resize_short_side(clip: Tensor, size: int) -> Tensor:
    """Resize so that the short side measures size; the long side follows, rounded down."""
    height, width = clip.shape[-2:]
    short = min(height, width)
    return resize(clip, size * height // short, size * width // short)


def center_crop(clip: Tensor, height: int, width: int) -> Tensor:
    """Cut (height, width) from the center."""
    top, left = round((clip.shape[-2] - height) / 2), round((clip.shape[-1] - width) / 2)
    return clip[..., top : top + height, left : left + width]


def resize(clip: Tensor, height: int, width: int) -> Tensor:
    """Resize to (height, width), bilinear with antialiasing, uint8 in and out."""
    return F.interpolate(clip, size=(height, width), mode="bilinear", antialias=True)
