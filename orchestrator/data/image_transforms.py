"""Crops and flips of images, uint8 tensors (channels, height, width), and normalization."""

import math

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from video.transforms import resize, scale_and_center_crop

AREA = (0.08, 1.0)  # of a training crop, as a share of the image (Szegedy et al., CVPR 2015)
ASPECT = (3 / 4, 4 / 3)  # its width over its height


def random_resized_crop(image: Tensor, size: int, generator: np.random.Generator) -> Tensor:
    """Cut a random part of random area and aspect and resize it to (size, size)."""
    top, left, height, width = choose_crop(image.shape[-2], image.shape[-1], generator)
    return resize(image[None, :, top : top + height, left : left + width], size, size)[0]


def choose_crop(
    height: int, width: int, generator: np.random.Generator
) -> tuple[int, int, int, int]:
    """Return (top, left, height, width) of a training crop of an image.

    The area is uniform in AREA, the aspect log-uniform in ASPECT; after ten draws that do not fit
    the largest centered part with a permitted aspect is taken.
    """
    for _ in range(10):
        area = height * width * generator.uniform(*AREA)
        aspect = math.exp(generator.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
        crop_width, crop_height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            top = int(generator.integers(height - crop_height + 1))
            left = int(generator.integers(width - crop_width + 1))
            return top, left, crop_height, crop_width
    crop_width = min(width, round(height * ASPECT[1]))
    crop_height = min(height, round(width / ASPECT[0]))
    return (height - crop_height) // 2, (width - crop_width) // 2, crop_height, crop_width


def resized_center_crop(image: Tensor, short_side: int, size: int) -> Tensor:
    """Resize the short side, then cut (size, size) from the center. Needs size <= short_side."""
    return scale_and_center_crop(image[None], short_side, size)[0]


def random_shifted_crop(image: Tensor, padding: int, generator: np.random.Generator) -> Tensor:
    """Pad the image with black and cut its original size at a random place."""
    height, width = image.shape[-2:]
    top, left = generator.integers(2 * padding + 1, size=2)
    padded = F.pad(image, (padding, padding, padding, padding))
    return padded[:, top : top + height, left : left + width]
