"""Tables of MP4 files with wrong numbers in them: named, never believed, never the end of a run."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tests.video.boxes import edited, number, renamed
from video import BrokenVideo, decode
from video.decode import frames, probe
from video.index import packed, unpacked
from video.library import Library

DAMAGES = {
    "one of its tables is cut short": number(b"stts", 4, 0x8F000001),
    "its table of times is damaged": number(b"stts", 8, 0xFFFFFFFF),
    "its table of chunks is damaged": number(b"stsc", 8, 5),
    "its edit list shows no frame": number(b"elst", 12, 10**8),
    "it lacks the description of its codec": number(b"stsd", -8, 16),
    "it has 0 samples": number(b"stsz", 8, 0),
    "its time scale is 0": number(b"mdhd", 12, 0),
    "its table is damaged": renamed(b"stsc"),
}


@pytest.mark.parametrize("reason", sorted(DAMAGES))
def test_a_damaged_table_is_named_and_no_demuxer_is_asked(
    videos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    monkeypatch.setattr(decode.decord, "VideoReader", None)  # some of them crash it
    path = edited(videos[0], tmp_path, DAMAGES[reason])
    with pytest.raises(BrokenVideo, match=f"cannot be read: {reason}"):
        Library().index(path)


def test_a_last_chunk_that_is_said_to_be_huge_takes_no_memory(
    videos: list[Path], tmp_path: Path
) -> None:
    path = edited(videos[0], tmp_path, number(b"stsc", 12, 1 << 24))
    tracemalloc.start()
    try:
        index = probe(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert np.array_equal(frames(path, index, [0, 9]), frames(videos[0], index, [0, 9]))


@pytest.mark.parametrize(
    ("width", "height", "reason"),
    [
        (24, 64, "it is 24 pixels wide, at least 32 are needed"),
        (8192, 8192, "it has 8192 x 8192 pixels, at most 34 million"),
    ],
)
def test_frames_that_are_too_narrow_or_too_large_are_said_to_be(
    videos: list[Path], tmp_path: Path, width: int, height: int, reason: str
) -> None:
    path = edited(videos[0], tmp_path, number(b"avc1\0\0\0\0\0\0\0\x01", 24, width << 16 | height))
    with pytest.raises(BrokenVideo, match=reason):
        probe(path)


def test_a_video_in_which_no_sample_is_said_to_be_a_beginning_is_read(
    videos: list[Path], tmp_path: Path
) -> None:
    path = edited(videos[0], tmp_path, number(b"stss", 4, 0))
    index = unpacked(packed(probe(path)))
    expected = frames(videos[0], probe(videos[0]), [0, 9, 15])
    assert np.array_equal(frames(path, index, [0, 9, 15]), expected)


def test_whatever_a_reader_makes_of_a_damaged_file_is_said_of_the_file(
    videos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def reader(path: Path) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(decode, "read_table", reader)
    with pytest.raises(BrokenVideo, match=r"cannot be read .*ZeroDivisionError.*by nothing"):
        probe(videos[0])
