"""Reading frames: the ones asked for, or BrokenVideo, whatever the file."""

import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import decord
import numpy as np
import pytest

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


def test_empty_and_cut_files_are_broken(videos: list[Path], tmp_path: Path) -> None:
    empty, cut = tmp_path / "empty.mp4", tmp_path / "cut.mp4"
    empty.touch()
    cut.write_bytes(videos[0].read_bytes()[:900])
    for path, reason in (
        (empty, "the file is empty"),
        (cut, "cannot be"),
    ):
        with pytest.raises(BrokenVideo, match=reason) as caught:
            read(path, lambda count: segment_centers(count, 3))
        assert caught.value.path == path
        assert "\n" not in caught.value.reason


def test_what_ffmpeg_finds_in_a_damaged_video_is_not_printed(
    videos: list[Path], tmp_path: Path
) -> None:
    path = tmp_path / "damaged.mp4"
    content = bytearray(videos[0].read_bytes())
    table = probe(videos[0]).table
    assert table is not None
    middle = int(table.offsets[0] + table.sizes[0] // 2)
    content[middle : middle + 40] = bytes(40)
    path.write_bytes(content)
    lines = [
        "import pathlib, sys",
        "from video.decode import frames, probe",
        "path = pathlib.Path(sys.argv[1])",
        "print(frames(path, probe(path), [0, 9]).shape)",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines), path], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("(2, 56, 56, 3)\n", "")


def test_the_error_survives_a_process_boundary() -> None:
    error = pickle.loads(pickle.dumps(BrokenVideo(Path("a.mp4"), "cut short")))
    assert (error.path, error.reason, str(error)) == (
        Path("a.mp4"),
        "cut short",
        "a.mp4: cut short",
    )
