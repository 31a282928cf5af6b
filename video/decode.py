"""Read chosen frames of a video file: the only file that opens a video.

A reader is used within one call: decord readers survive neither a fork nor a pickle.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import decord
import numpy as np
from numpy.typing import NDArray

from video import BrokenVideo

__all__ = ["CONTAINERS", "BrokenVideo", "count_frames", "read_frames"]

# Containers in which decord's seek finds the requested frame, except with edit lists, open groups
# of pictures and intra refresh, where it finds one nearby. In the others (MPEG-4 AVI with B-frames,
# MPEG-TS, MPEG-PS ...) a seek is often wrong, so they are read from the start.
SEEKABLE = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm"})
CONTAINERS = SEEKABLE | {".avi", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".3gp", ".ogv"}

READ_ERRORS = (decord.DECORDError, RuntimeError, OSError, IndexError, StopIteration)


def count_frames(path: Path) -> int:
    """Return the number of frames of a video. Raises BrokenVideo when it cannot be opened."""
    return len(_open(path))


def read_frames(
    path: Path, choose: Callable[[int], Sequence[int]], *, min_frames: int = 1
) -> NDArray[np.uint8]:
    """Return the chosen frames as RGB, shape (frames, height, width, 3), in the order chosen.

    choose: maps the number of frames of the video to the indices wanted, which may repeat.
    Raises BrokenVideo when the file cannot be opened, has fewer than min_frames frames, or when
    one of the chosen frames cannot be decoded.
    """
    reader = _open(path)
    if len(reader) < min_frames:
        raise BrokenVideo(path, f"{len(reader)} frames, at least {min_frames} are needed")
    unique, positions = np.unique(np.asarray(choose(len(reader))), return_inverse=True)
    read = _seek if path.suffix.lower() in SEEKABLE else _read_from_start
    try:
        frames = read(reader, unique.tolist())
    except READ_ERRORS as error:
        raise BrokenVideo(path, f"cannot be decoded ({_first_line(error)})") from error
    chosen: NDArray[np.uint8] = frames[positions]
    return chosen


def _open(path: Path) -> Any:
    if not path.is_file():
        raise BrokenVideo(path, "no such file")
    if path.stat().st_size == 0:
        raise BrokenVideo(path, "the file is empty")
    decord.logging.set_level(decord.logging.QUIET)  # FFmpeg prints what it finds; here it is raised
    try:
        reader = decord.VideoReader(str(path), num_threads=1)
    except READ_ERRORS as error:
        raise BrokenVideo(path, f"cannot be opened ({_first_line(error)})") from error
    if len(reader) == 0:
        raise BrokenVideo(path, "no frames")
    return reader


def _seek(reader: Any, indices: list[int]) -> NDArray[np.uint8]:
    frames: NDArray[np.uint8] = reader.get_batch(indices).asnumpy()
    return frames


def _read_from_start(reader: Any, indices: list[int]) -> NDArray[np.uint8]:
    wanted = set(indices)
    kept: list[NDArray[np.uint8]] = []
    for index in range(indices[-1] + 1):
        frame = reader.next()
        if index in wanted:
            kept.append(frame.asnumpy())
    return np.stack(kept)


def _first_line(error: BaseException) -> str:
    """Return decord's reason without its time stamp, source line and stack trace."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r"\[[\d:]+\] \S+:\d+: ", "", lines[0])
