"""Real videos: the frames that decord gives when it reads them in order, and what is broken."""

import csv
from pathlib import Path

import decord
import numpy as np
import pytest

from tests.real_data import real_data
from video import BrokenVideo
from video.decode import every_frame, frames, probe
from video.sampling import segment_centers

pytestmark = pytest.mark.real


def table(name: str) -> list[dict[str, str]]:
    with (real_data() / "videos" / name).open(newline="") as file:
        return list(csv.DictReader(file))


def in_order(path: Path, numbers: list[int]) -> np.ndarray:
    """Return frames by ascending numbers, without a jump, as far as decord gives them."""
    reader = decord.VideoReader(str(path), num_threads=1)
    wanted, kept = set(numbers), []
    for number in range(numbers[-1] + 1):
        try:
            frame = reader.next()
        except (decord.DECORDError, StopIteration):
            break
        if number in wanted:
            kept.append(frame.asnumpy())
    return np.stack(kept)


def asked_of(count: int) -> list[int]:
    """Return the numbers of some frames: those of a test clip, and some at random."""
    drawn = np.random.default_rng(count).choice(count, min(8, count), replace=False)
    return sorted({*segment_centers(count, 8), *drawn.tolist(), count - 1})


@pytest.mark.parametrize("kind", ["actions", "clips", "long"])
def test_frames_are_those_that_decord_gives_in_order(kind: str) -> None:
    rows = [row for row in table("index.csv") if row["path"].startswith(f"{kind}/")]
    assert len(rows) > 2
    for row in rows:
        path = real_data() / "videos" / row["path"]
        index = probe(path)
        assert index.frames == int(row["frames"]), row
        asked = asked_of(index.frames)
        assert np.array_equal(frames(path, index, asked), in_order(path, asked)), row


def test_odd_videos_give_the_frames_that_they_have_or_are_broken() -> None:
    rows = table("odd/index.csv")
    assert len(rows) == 36
    broken: dict[str, str] = {}
    for row in rows:
        path = real_data() / "videos" / "odd" / row["file"]
        try:
            index = probe(path)
            asked = asked_of(index.frames)
            found = frames(path, index, asked)
        except BrokenVideo as error:
            broken[row["file"]] = error.reason
            continue
        assert int(row["frames_decoded"]) > 0, row
        expected = in_order(path, asked)
        assert np.array_equal(found[: len(expected)], expected), row
    unread = [row["file"] for row in rows if row["decord_0_6_0"].endswith(("to open", "reading"))]
    assert set(broken) <= set(unread)
    assert not any("\n" in reason for reason in broken.values())
    for name in ("av1.mp4", "av1_video.mkv"):
        assert "AV1, which decord cannot read; a copy made by `orch data prepare`" in broken[name]


def test_a_damaged_frame_that_no_other_one_needs_is_found_among_all() -> None:
    path = real_data() / "videos" / "odd" / "corrupted.mp4"
    index = probe(path)
    assert len(frames(path, index, [3, 48, 49])) == 3
    with pytest.raises(BrokenVideo, match=r"frame \d+ of 50 cannot be decoded"):
        for _ in every_frame(path, index):
            pass


SECONDS, HALF_SECONDS = np.s_[35:110, 225:278], np.s_[130:158, 266:286]  # last digits drawn


def test_the_clock_shows_the_time_of_the_frame_asked_for() -> None:
    path = real_data() / "videos" / "long" / "clock_h264_300s.mp4"
    reader = decord.VideoReader(str(path), num_threads=1)
    early = [reader.next().asnumpy() for _ in range(240)]
    wanted = np.random.default_rng(0).integers(7200, size=24).tolist()
    for frame, number in zip(frames(path, probe(path), wanted), wanted, strict=True):
        assert drawn_digit(frame, early[12::24], SECONDS) == number // 24 % 10
        assert drawn_digit(frame, early[6:120:12], HALF_SECONDS) == number // 12 % 10


def drawn_digit(frame: np.ndarray, digits: list[np.ndarray], place: tuple[slice, slice]) -> int:
    """The digit, 0 to 9, that a frame shows at a place, by the frames known to show each."""
    return int(np.argmin([np.abs(frame[place] - digit[place] * 1.0).mean() for digit in digits]))
