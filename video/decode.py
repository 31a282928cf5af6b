"""Frames of video files: the only module that knows decord.

Its readers survive neither a fork nor a pickle, and a jump to a frame silently ends at another one
in some files. So a reader lives within one call, in one thread, and how a file is read is found out
once (`probe`): MP4 and MOV files by their table, others by a jump where that was seen to be right,
and else from the start.
"""

import contextlib
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import decord
import numpy as np
from numpy.typing import NDArray

from video import BrokenVideo
from video.index import Index, Way
from video.mp4 import NoTable, read_table
from video.pack import ENDING, DamagedPack, read_head, read_pictures
from video.slices import cut, pieces

Frame = NDArray[np.uint8]
"""RGB, (height, width, 3)."""
Frames = NDArray[np.uint8]

CONTAINERS = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".flv"}
    | {".wmv", ".3gp", ".ogv", ENDING}
)
READ_ERRORS = (
    *(decord.DECORDError, DamagedPack),
    *(RuntimeError, OSError, IndexError, StopIteration),
)
COMPARED_KEYS = 3
"""Pictures with which decoding may begin, around which a jump is compared."""
_PACKET = 188  # bytes, of an MPEG transport stream; each begins with 0x47
_AV1 = (b"av01", b"V_AV1")  # as MP4 and Matroska call the codec
_NEAR_ENDS = 1 << 16  # bytes of a file within which its codec is named
_PREPARED = "a copy made by `orch data prepare` can be read"


def probe(path: Path) -> Index:
    """Find out how a video is read, for which some seconds of it may be decoded.

    Raises BrokenVideo for one of which no frame can be read right, and OSError where the disk is to
    blame, or there is no such file.
    """
    if path.suffix == ENDING:
        return _of_pack(path)
    with contextlib.suppress(NoTable):
        table = read_table(path)
        return Index(len(table.shown), Way.SLICES, table)
    _refuse_at_once(path)
    reader = _open(path)
    keys = [int(key) for key in reader.get_key_indices()][1 : 1 + COMPARED_KEYS]
    near = {at for key in (0, *keys) for at in range(key - 2, key + 4)}
    compared = sorted(at for at in near if 0 <= at < len(reader))
    try:
        right = _in_order(reader, compared)
        jumped = [_seek(reader, [number])[0] for number in reversed(compared)]
    except READ_ERRORS as error:
        raise BrokenVideo(path, f"cannot be decoded ({_first_line(error)})") from error
    way = Way.SEEK if np.array_equal(right, jumped[::-1]) else Way.IN_ORDER
    return Index(len(reader), way)


def frames(path: Path, index: Index, numbers: Sequence[int]) -> Frames:
    """Return frames by their numbers, RGB, uint8 (frames, height, width, 3), in the order asked.

    Numbers may repeat. Raises BrokenVideo when one cannot be decoded.
    """
    unique, positions = np.unique(np.asarray(numbers, np.int64), return_inverse=True)
    try:
        found = _read(path, index, unique.tolist())
    except READ_ERRORS as error:
        raise BrokenVideo(path, f"cannot be decoded ({_first_line(error)})") from error
    return found[positions]


def _of_pack(path: Path) -> Index:
    try:
        return Index(read_head(path).frames, Way.PICTURES)
    except DamagedPack as error:
        raise BrokenVideo(path, str(error)) from error


def every_frame(path: Path, index: Index) -> Iterator[Frame]:
    """Yield the frames of a video in order, each once; few are in memory at a time.

    Raises BrokenVideo when one cannot be decoded.
    """
    given = 0
    try:
        with contextlib.suppress(NoTable):
            for frame in _by_table(path, index):
                yield frame
                given += 1
        if given < index.frames:
            for frame in _ascending(_open(path), range(given, index.frames)):
                yield frame
                given += 1
    except READ_ERRORS as error:
        which = f"frame {given} of {index.frames}"
        raise BrokenVideo(path, f"{which} cannot be decoded ({_first_line(error)})") from error


def _by_table(path: Path, index: Index) -> Iterator[Frame]:
    if index.way is Way.PICTURES:
        for number in range(index.frames):
            yield read_pictures(path, [number])[0]
    if index.table is None:
        return
    for numbers in pieces(index.table):
        small = cut(path, index.table, numbers)
        reader = decord.VideoReader(io.BytesIO(small.content), num_threads=1)
        if small.frames == sorted(small.frames):
            yield from _ascending(reader, small.frames)
        else:  # an edit list shows some frames again
            yield from (_seek(reader, [number])[0] for number in small.frames)


def _ascending(reader: Any, numbers: Iterable[int]) -> Iterator[Frame]:
    """Yield frames by ascending numbers; all before them are decoded."""
    at = 0
    for number in numbers:
        while at <= number:
            frame = _next(reader)
            at += 1
        yield frame.asnumpy()


def _next(reader: Any) -> Any:
    try:
        return reader.next()
    except StopIteration:
        raise RuntimeError("the video ends before it") from None


def _read(path: Path, index: Index, numbers: list[int]) -> Frames:
    if index.way is Way.PICTURES:
        return read_pictures(path, numbers)
    if index.table is not None:
        try:
            small = cut(path, index.table, numbers)
        except NoTable:
            return _in_order(_open(path), numbers)
        reader = decord.VideoReader(io.BytesIO(small.content), num_threads=1)
        return _seek(reader, small.frames)
    return (_seek if index.way is Way.SEEK else _in_order)(_open(path), numbers)


def _refuse_at_once(path: Path) -> None:
    with path.open("rb") as file:
        begin = file.read(2 * _PACKET + 1)
    if not begin:
        raise BrokenVideo(path, "the file is empty")
    if begin[::_PACKET] == b"GGG":
        raise BrokenVideo(
            path,
            f"an MPEG transport stream, whose frames decord cannot tell apart; {_PREPARED}",
        )


def _open(path: Path) -> Any:
    decord.logging.set_level(decord.logging.QUIET)  # FFmpeg prints what it finds; here it is raised
    try:
        reader = decord.VideoReader(str(path), num_threads=1)
    except READ_ERRORS as error:
        if _is_av1(path):
            why = f"its codec is AV1, which decord cannot read; {_PREPARED}"
            raise BrokenVideo(path, why) from error
        raise BrokenVideo(path, f"cannot be opened ({_first_line(error)})") from error
    if len(reader) == 0:
        raise BrokenVideo(path, "no frames")
    return reader


def _is_av1(path: Path) -> bool:
    with path.open("rb") as file:
        ends = file.read(_NEAR_ENDS)
        file.seek(max(file.tell(), path.stat().st_size - _NEAR_ENDS))
        ends += file.read()
    return any(name in ends for name in _AV1)


def _seek(reader: Any, numbers: list[int]) -> Frames:
    found: Frames = reader.get_batch(numbers).asnumpy()
    return found


def _in_order(reader: Any, numbers: list[int]) -> Frames:
    """Return frames by ascending numbers; all before them are decoded."""
    return np.stack(list(_ascending(reader, numbers)))


def _first_line(error: BaseException) -> str:
    """Return decord's reason without its time stamp, source line and stack trace."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r"\[[\d:]+\] \S+:\d+: ", "", lines[0])
