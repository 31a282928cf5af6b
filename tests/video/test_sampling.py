"""Frames of a segment, against TSN's rules (Wang et al., ECCV 2016) written naively."""

import numpy as np
import pytest

from video.sampling import random_frames, segment_centers


@pytest.mark.parametrize("num_frames", [1, 5, 8, 9, 16, 100, 7201])
def test_test_frames_are_the_centers_of_eight_segments(num_frames: int) -> None:
    expected = [int(num_frames / 16 + i * num_frames / 8) for i in range(8)]
    assert segment_centers(num_frames, 8) == expected


def test_three_segments_of_nine_frames_are_centered_by_hand() -> None:
    assert segment_centers(9, 3) == [1, 4, 7]


@pytest.mark.parametrize("num_frames", [8, 19, 300])
def test_training_takes_one_frame_of_each_segment(num_frames: int) -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        for i, frame in enumerate(random_frames(num_frames, 8, generator)):
            assert i * num_frames // 8 <= frame < (i + 1) * num_frames // 8


def test_training_reaches_every_frame() -> None:
    generator = np.random.default_rng(0)
    seen = {frame for _ in range(300) for frame in random_frames(19, 8, generator)}
    assert seen == set(range(19))


def test_each_segment_draws_a_place_of_its_own() -> None:
    generator, length = np.random.default_rng(0), 3
    drawn = np.array([random_frames(8 * length, 8, generator) for _ in range(400)])
    places = drawn - length * np.arange(8)
    for first in range(8):
        for second in range(first):
            pairs = set(zip(places[:, first].tolist(), places[:, second].tolist(), strict=True))
            assert len(pairs) == length**2, (first, second)


@pytest.mark.parametrize("num_frames", [1, 3, 7])
def test_a_video_with_fewer_frames_than_segments_repeats_frames(num_frames: int) -> None:
    for chosen in (
        segment_centers(num_frames, 8),
        random_frames(num_frames, 8, np.random.default_rng(0)),
    ):
        assert len(chosen) == 8
        assert chosen == sorted(chosen)
        assert set(chosen) == set(range(num_frames))
