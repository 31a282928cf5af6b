"""Frames of video files: the only module that knows decord.

Its readers survive neither a fork nor a pickle, and a jump to a frame silently ends at another one
in some files. So a reader lives within one call, in one thread, and how a file is read is found out
once (`probe`): MP4 and MOV files by their table, others by a jump where that was seen to be right,
and else from the start.
"""

import contextlib
import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import decord
import numpy as np
from numpy.typing import NDArray

from video import BrokenVideo, UnreadVideo
from video.anywhere import refuse_irregular
from video.index import Index, Way
from video.mp4 import CutByEdits, DamagedTable, NoTable, SampleTable, read_table
from video.pack import ENDING, DamagedPack, read_head, read_pictures
from video.reasons import PREPARED, broken, unfit
from video.signs import is_av1, is_transport_stream, is_without_places
from video.slices import Slice, TooManyBytes, cut, pieces

Frame = NDArray[np.uint8]
"""RGB, (height, width, 3)."""
Frames = NDArray[np.uint8]
Size = tuple[int, int]
"""Height and width, in pixels."""

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
LOOKED_AT = 3000
"""Frames among which such places are sought whose pictures tell one frame from the next."""


def probe(path: Path) -> Index:
    """Find out how a video is read, for which some seconds of it may be decoded.

    Raises BrokenVideo for one of which no frame can be read right, and OSError where the disk is to
    blame, or there is no such file, or no regular one.
    """
    refuse_irregular(path)
    try:
        return _found_out(path)
    except (BrokenVideo, OSError):
        raise
    except MemoryError as error:
        raise UnreadVideo(path, "there is too little memory to read it") from error
    except Exception as error:  # whatever a damaged file makes of its reader
        raise BrokenVideo(path, f"cannot be read ({error!r})") from error


def _found_out(path: Path) -> Index:
    if path.suffix.lower() == ENDING:
        return _of_pack(path)
    try:
        table = read_table(path)
    except CutByEdits as error:
        raise BrokenVideo(path, f"{error}, which decord counts; {PREPARED}") from error
    except DamagedTable as error:  # which may crash decord
        raise BrokenVideo(path, f"cannot be read: {error}") from error
    except NoTable:
        return _by_decord(path)
    if reason := unfit(table.size):
        raise BrokenVideo(path, reason)
    if _misleads(path, table):
        if len(table.shown) < len(table.sizes):
            raise BrokenVideo(
                path, "its edit list counts frames of which its table says wrong things"
            )
        return Index(len(_open(path)), Way.IN_ORDER)
    return Index(len(table.shown), Way.SLICES, table)


def _by_decord(path: Path) -> Index:
    _refuse_at_once(path)
    reader = _open(path)
    try:
        if is_without_places(path):
            _in_order(reader, [0])
            return Index(len(reader), Way.IN_ORDER)
        return Index(len(reader), _way(reader))
    except READ_ERRORS as error:
        raise broken(path, "cannot be decoded", error) from error


def frames(path: Path, index: Index, numbers: Sequence[int]) -> Frames:
    """Return frames by their numbers, RGB, uint8 (frames, height, width, 3), in the order asked.

    Numbers may repeat. Raises BrokenVideo when one cannot be decoded.
    """
    unique, positions = np.unique(np.asarray(numbers, np.int64), return_inverse=True)
    try:
        found = _read(path, index, unique.tolist())
    except READ_ERRORS as error:
        raise broken(path, "cannot be decoded", error) from error
    return found[positions]


def _of_pack(path: Path) -> Index:
    try:
        return Index(read_head(path).frames, Way.PICTURES)
    except DamagedPack as error:
        raise BrokenVideo(path, str(error)) from error


def _way(reader: Any) -> Way:
    """Return how frames are reached, by comparing those around some keys with a jump to each."""
    right = _telling(reader)
    for number in sorted(right, reverse=True):
        if _mark(_seek(reader, [number])[0]) != right[number]:
            return Way.IN_ORDER
    return Way.SEEK if right else Way.IN_ORDER


def _misleads(path: Path, table: SampleTable) -> bool:
    """Return whether frames are not shown in the order of their table, or not readable by it.

    So it is with B-frames and no table of delays (ctts), and where it lacks that of the samples
    with which decoding may begin (stss). The first pictures that differ show it.
    """
    if not (table.is_without_delays or table.is_without_groups):
        return False
    starts = table.starts[np.linspace(0, len(table.starts) - 1, 8).astype(int)]
    for first in np.unique(np.searchsorted(table.shown, starts)).tolist():
        numbers = list(range(first, min(first + 8, len(table.shown))))
        with contextlib.suppress(NoTable, *READ_ERRORS):  # which are said when frames are read
            small = cut(path, table, numbers)
            right = list(map(_mark, _ascending(_reader_of(small), small.frames)))
            if all(one != other for one, other in pairwise(right)):
                try:
                    alone = [_mark(_of_slices(path, table, [number])[0]) for number in numbers[:6]]
                except READ_ERRORS as error:
                    return not isinstance(broken(path, "", error), UnreadVideo)
                return alone != right[:6]
    return False


def _telling(reader: Any) -> dict[int, int]:
    """Return the marks of frames by number, around some keys where each differs from the next.

    Where only the first picture is a key, all others are as good.

    A jump that ends at another frame does not show in a picture that stands still. Returns nothing
    where too few keys tell: then nothing is known of jumps.
    """
    keys = [int(key) for key in reader.get_key_indices() if key] or range(5, len(reader), 5)
    around = [range(max(0, key - 2), min(key + 4, len(reader))) for key in (0, *keys)]
    around = [numbers for numbers in around if numbers[-1] < LOOKED_AT]
    near = sorted({number for numbers in around for number in numbers})
    pictures = zip(near, _ascending(reader, near), strict=True)
    right: dict[int, int] = {}
    marks: dict[int, int] = {}
    lacking = min(COMPARED_KEYS, len(keys))
    for at, numbers in enumerate(around):
        while numbers[-1] not in marks:
            number, frame = next(pictures)
            marks[number] = _mark(frame)
        own = {number: marks[number] for number in numbers}
        if all(one != other for one, other in pairwise(own.values())):
            right |= own
            lacking -= at > 0
        if lacking == 0:
            return right
    return {}


def _mark(frame: Frame) -> int:
    return zlib.crc32(frame.data)


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
        what = f"frame {given} of {index.frames} cannot be decoded"
        raise broken(path, what, error) from error


def _by_table(path: Path, index: Index) -> Iterator[Frame]:
    if index.way is Way.PICTURES:
        for number in range(index.frames):
            yield read_pictures(path, [number])[0]
    if index.table is None:
        return
    size: Size | None = None
    for numbers in pieces(index.table):
        small = cut(path, index.table, numbers)
        reader = _reader_of(small, size)
        if small.frames == sorted(small.frames):
            some = _ascending(reader, small.frames)
        else:  # an edit list shows some frames again
            some = (_seek(reader, [number])[0] for number in small.frames)
        for frame in some:
            size = size or _size(frame)
            yield frame


def _ascending(reader: Any, numbers: Iterable[int]) -> Iterator[Frame]:
    """Yield frames by ascending numbers; all before them are decoded."""
    at = 0
    for number in numbers:
        while at <= number:
            frame = _next(reader)
            at += 1
        pixels = frame.asnumpy()
        if reason := unfit(pixels.shape):
            raise RuntimeError(reason)
        yield pixels


def _next(reader: Any) -> Any:
    try:
        return reader.next()
    except StopIteration:
        raise RuntimeError("the video ends before it") from None


def _read(path: Path, index: Index, numbers: list[int]) -> Frames:
    if index.way is Way.PICTURES:
        return read_pictures(path, numbers)
    if index.table is not None:
        return _of_table(path, index.table, numbers)
    return (_seek if index.way is Way.SEEK else _in_order)(_open(path), numbers)


def _of_table(path: Path, table: SampleTable, numbers: list[int]) -> Frames:
    try:
        return _of_slices(path, table, numbers)
    except NoTable:
        return _in_order(_open(path), numbers)


def _of_slices(path: Path, table: SampleTable, numbers: list[int]) -> Frames:
    """Return frames by ascending numbers, in the size of the first one of all. Raises NoTable."""
    try:
        small = cut(path, table, numbers)
    except TooManyBytes:
        if len(numbers) == 1:
            raise
        half = len(numbers) // 2
        parts = [_of_slices(path, table, part) for part in (numbers[:half], numbers[half:])]
        return np.concatenate(parts)
    found = _seek(_reader_of(small), small.frames)
    if _size(found[0]) == table.size:
        return found
    first = cut(path, table, [0])
    size = _size(_seek(_reader_of(first), first.frames)[0])
    return found if _size(found[0]) == size else _seek(_reader_of(small, size), small.frames)


def _refuse_at_once(path: Path) -> None:
    if not path.stat().st_size:
        raise BrokenVideo(path, "the file is empty")
    if is_transport_stream(path):
        raise BrokenVideo(
            path,
            f"an MPEG transport stream, whose frames decord cannot tell apart; {PREPARED}",
        )


def _reader(source: str | io.BytesIO, size: Size = (-1, -1)) -> Any:
    """Return what decodes a video; frames get the size of its first one unless one is given."""
    decord.logging.set_level(decord.logging.QUIET)  # FFmpeg prints what it finds; here it is raised
    return decord.VideoReader(source, num_threads=1, height=size[0], width=size[1])


def _reader_of(small: Slice, size: Size | None = None) -> Any:
    """Return what decodes a small file; frames of another size than the given one get that."""
    if size:
        first = _reader(io.BytesIO(small.content)).next()
        if (first.shape[0], first.shape[1]) != size:
            return _reader(io.BytesIO(small.content), size)
    return _reader(io.BytesIO(small.content))


def _size(frame: Frame) -> Size:
    return frame.shape[0], frame.shape[1]


def _of_file(path: Path) -> Any:
    try:
        str(path).encode()
    except UnicodeEncodeError:  # decord takes no such name
        with path.open("rb") as file:
            return _reader(f"/proc/self/fd/{file.fileno()}")
    return _reader(str(path))


def _open(path: Path) -> Any:
    try:
        reader = _of_file(path)
    except READ_ERRORS as error:
        if is_av1(path):
            why = f"its codec is AV1, which decord cannot read; {PREPARED}"
            raise BrokenVideo(path, why) from error
        raise broken(path, "cannot be opened", error) from error
    if len(reader) == 0:
        raise BrokenVideo(path, "no frames")
    return reader


def _seek(reader: Any, numbers: list[int]) -> Frames:
    found: Frames = reader.get_batch(numbers).asnumpy()
    return found


def _in_order(reader: Any, numbers: list[int]) -> Frames:
    """Return frames by ascending numbers; all before them are decoded."""
    return np.stack(list(_ascending(reader, numbers)))
