"""Reading frames: the ones asked for, or BrokenVideo, whatever the file."""

import csv
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path

import decord
import numpy as np
import pytest

from tests.real_data import real_data
from video import BrokenVideo
from video.decode import frames, probe
from video.sampling import segment_centers


def every_frame(path: Path) -> np.ndarray:
    """All frames in the order in which they are stored, without a seek."""
    reader = decord.VideoReader(str(path), num_threads=1)
    return np.stack([reader.next().asnumpy() for _ in range(len(reader))])


def read(path: Path, choose: Callable[[int], Sequence[int]]) -> np.ndarray:
    index = probe(path)
    return frames(path, index, choose(index.frames))


def test_frames_come_in_the_order_asked_for_and_may_repeat(videos: list[Path]) -> None:
    expected = every_frame(videos[0])
    chosen = read(videos[0], lambda count: [count - 1, 3, 3, 0])
    assert np.array_equal(chosen, expected[[15, 3, 3, 0]])


@pytest.mark.parametrize("ending", [".mp4", ".MKV", ".avi"])
def test_seeking_and_reading_from_the_start_give_the_same_frames(
    videos: list[Path], tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"clip{ending}"  # FFmpeg looks into the file, the ending chooses the way
    path.symlink_to(videos[1])
    chosen = read(path, lambda count: [2, 7, 15])
    assert np.array_equal(chosen, every_frame(videos[1])[[2, 7, 15]])


def test_a_file_that_is_no_video_is_broken(tmp_path: Path) -> None:
    text = tmp_path / "v_text.mp4"
    text.write_text("no video " * 100)
    with pytest.raises(BrokenVideo, match=r"v_text\.mp4: cannot be opened"):
        read(text, lambda count: [0])


def test_empty_missing_and_cut_files_are_broken(videos: list[Path], tmp_path: Path) -> None:
    empty, cut = tmp_path / "empty.mp4", tmp_path / "cut.mp4"
    empty.touch()
    cut.write_bytes(videos[0].read_bytes()[:900])
    for path, reason in (
        (empty, "the file is empty"),
        (tmp_path / "absent.mp4", "no such file"),
        (tmp_path, "no such file"),
        (cut, "cannot be"),
    ):
        with pytest.raises(BrokenVideo, match=reason) as caught:
            read(path, lambda count: segment_centers(count, 3))
        assert caught.value.path == path
        assert "\n" not in caught.value.reason


def test_the_error_survives_a_process_boundary() -> None:
    error = pickle.loads(pickle.dumps(BrokenVideo(Path("a.mp4"), "cut short")))
    assert (error.path, error.reason, str(error)) == (
        Path("a.mp4"),
        "cut short",
        "a.mp4: cut short",
    )


@pytest.mark.real
def test_unusual_videos_give_frames_or_a_broken_video() -> None:
    folder = real_data() / "videos" / "odd"
    with (folder / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 36
    for row in rows:
        shape = shape_of_eight_frames(folder / row["file"])
        broken = row["decord_0_6_0"].startswith(("fails", "opens, then fails"))
        assert (shape is None) == broken, f"{row['file']}: {row['what']}"
        assert shape is None or (shape[0], shape[3]) == (8, 3)


def shape_of_eight_frames(path: Path) -> tuple[int, ...] | None:
    """The shape of what is read, None for a broken video."""
    try:
        return read(path, lambda count: segment_centers(count, 8)).shape
    except BrokenVideo:
        return None


@pytest.mark.real
@pytest.mark.parametrize(
    "name",
    [
        "long/person_h264_139s.mp4",
        "long/street_vp9_79s.webm",
        "long/street_mpeg4_79s.avi",
        "clips/flipping_a_pancake.mkv",
        "clips/TrumanShow_wave_f_nm_np1_fr_med_26.avi",
        "odd/unordered.mov",
        "odd/sample.3gp",
    ],
)
def test_real_videos_give_the_frames_asked_for(name: str) -> None:
    path = real_data() / "videos" / name
    reader = decord.VideoReader(str(path), num_threads=1)
    wanted = segment_centers(min(len(reader), 400), 8)
    stored = [reader.next().asnumpy() for _ in range(wanted[-1] + 1)]
    chosen = read(path, lambda count: wanted)
    assert np.array_equal(chosen, np.stack([stored[index] for index in wanted]))


SECONDS, HALF_SECONDS = np.s_[35:110, 225:278], np.s_[130:158, 266:286]  # last digits drawn


@pytest.mark.real
def test_the_clock_shows_the_time_of_the_frame_asked_for() -> None:
    path = real_data() / "videos" / "long" / "clock_h264_300s.mp4"
    reader = decord.VideoReader(str(path), num_threads=1)
    early = [reader.next().asnumpy() for _ in range(240)]
    wanted = np.random.default_rng(0).integers(7200, size=24).tolist()
    for frame, index in zip(read(path, lambda count: wanted), wanted, strict=True):
        assert drawn_digit(frame, early[12::24], SECONDS) == index // 24 % 10
        assert drawn_digit(frame, early[6:120:12], HALF_SECONDS) == index // 12 % 10


def drawn_digit(frame: np.ndarray, digits: list[np.ndarray], place: tuple[slice, slice]) -> int:
    """The digit, 0 to 9, that a frame shows at a place, by the frames known to show each."""
    return int(np.argmin([np.abs(frame[place] - digit[place] * 1.0).mean() for digit in digits]))
