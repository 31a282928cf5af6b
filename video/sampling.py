"""Which frames of a video are used: one of each segment (TSN; Wang et al., ECCV 2016)."""

import numpy as np


def segment_centers(num_frames: int, num_segments: int) -> list[int]:
    """Return the center of each of num_segments equal parts: int(T/2n + i T/n), the test frames.

    A video with fewer frames than segments repeats frames.
    """
    return [(2 * i + 1) * num_frames // (2 * num_segments) for i in range(num_segments)]


def random_frames(num_frames: int, num_segments: int, generator: np.random.Generator) -> list[int]:
    """Return one random frame of each of num_segments equal parts: the training frames.

    A video with fewer frames than segments repeats frames.
    """
    edges = np.arange(num_segments + 1) * num_frames // num_segments
    starts, ends = edges[:-1], np.maximum(edges[1:], edges[:-1] + 1)
    chosen: list[int] = generator.integers(starts, ends).tolist()
    return chosen
