"""The sample table of an MP4 or MOV file: where each coded frame lies, and which are shown.

ISO/IEC 14496-12 (boxes and their tables) and 14496-15 (H.264 and HEVC in them). With a table any
frame can be read without a demuxer.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

MAX_TABLE = 256 << 20  # bytes: more than the table of a week of video
MAX_SAMPLES = 1 << 24
H264, HEVC = (b"avc1", b"avc3"), (b"hvc1", b"hev1")
_LENGTH_SIZE = dict.fromkeys(H264, (b"avcC", 4)) | dict.fromkeys(HEVC, (b"hvcC", 21))
"""The box of a codec's parameters, and the byte in it with the size of the length of NAL units."""
_REORDERED = {*H264, *HEVC, b"mp4v"}
_UNREADABLE = {b"encv": "it is encrypted", b"av01": "its codec is AV1"}

Integers = NDArray[np.int64]
Boxes = dict[bytes, bytes]


class NoTable(ValueError):
    """A file has no table from which its frames can be read one by one; says why."""


class DamagedTable(ValueError):
    """A file has such a table, but not a whole one, which may crash a demuxer too; says why."""


class CutByEdits(ValueError):
    """A file has no such table, and an edit list for which a demuxer counts wrong; says why."""


@dataclass(frozen=True)
class SampleTable:
    """The coded frames (samples) of a video track, in the order in which they are decoded.

    offsets, sizes: bytes in the file, (samples,). ranks: the place of each sample among all in the
    order in which they are shown, (samples,). shown: the samples in that order, without those that
    an edit list cuts off, (frames,). starts: samples before and after which all is shown that is
    decoded before and after them, ascending. codec: four letters, such as b"avc1". length_size:
    bytes of the length in front of each NAL unit, 0 without such units. description: the box of the
    codec (stsd), with its parameters. header: the header box of the track, with its rotation and
    the movie's.
    """

    offsets: Integers
    sizes: Integers
    ranks: Integers
    shown: Integers
    starts: Integers
    codec: bytes
    length_size: int
    description: bytes
    header: bytes

    @property
    def is_without_delays(self) -> bool:
        """Whether it names no frame as one shown late, and its codec may show some so."""
        baseline = b"avcC\1\x42" in self.description  # the profile of H.264 without B-frames
        reordered = self.codec in _REORDERED and bool(len(self.starts)) and not baseline
        return reordered and not np.any(self.ranks != np.arange(len(self.ranks)))

    @property
    def is_without_groups(self) -> bool:
        """Whether it says of so many samples that they need no other one that few codecs do so."""
        return self.codec not in (*H264, *HEVC) and 4 * len(self.starts) > len(self.sizes) > 1

    @property
    def size(self) -> tuple[int, int]:
        """Height and width that are said of the frames as they are shown, 0 where nothing is."""
        size = self.description[48:52].ljust(4, b"\0")  # of the VisualSampleEntry within the box
        width, height = struct.unpack(">HH", size)
        matrix = 60 if self.header[8:9] == b"\1" else 48  # in the header of a track, by its version
        turned = self.header[matrix : matrix + 4] == bytes(4)
        return (width, height) if turned else (height, width)


def read_table(path: Path) -> SampleTable:
    """Return the table of the one video track of a file, up to the first sample cut off its end.

    Raises NoTable when there is no such table, as in a fragmented file, CutByEdits, DamagedTable
    and OSError.
    """
    with path.open("rb") as file:
        length = file.seek(0, 2)
        movie = _movie(file, length)
    try:
        try:
            return _table(movie, length)
        except NoTable as error:
            if str(error) not in _UNREADABLE.values() and _is_cut(movie):
                raise CutByEdits(f"{error}, and an edit list that cuts some frames off") from error
            raise
    except (struct.error, IndexError, KeyError) as error:
        raise DamagedTable(f"its table is damaged ({error!r})") from error


def box(kind: bytes, *content: bytes) -> bytes:
    """Return a box of a kind, such as b"moov", with some content."""
    return struct.pack(">I4s", 8 + sum(map(len, content)), kind) + b"".join(content)


def _movie(file: BinaryIO, length: int) -> bytes:
    """Return the content of the moov box."""
    at = 0
    while at + 8 <= length:
        file.seek(at)
        try:
            size, start, kind = _head(file.read(16), 0, length - at)
        except (DamagedTable, struct.error) as error:  # it need not be MP4 at all
            raise NoTable("it has no table of samples") from error
        if kind == b"moov":
            if size > MAX_TABLE:
                raise NoTable("its table is too large")
            file.seek(at + start)
            return file.read(size - start)
        at += size
    raise NoTable("it has no table of samples")


def _head(content: bytes, at: int, room: int) -> tuple[int, int, bytes]:
    """Return the size of a box, that of its head, and its kind. room: bytes that it may have."""
    size, kind = struct.unpack_from(">I4s", content, at)
    start = 8
    if size == 1:  # it stands behind the kind
        size, start = struct.unpack_from(">Q", content, at + 8)[0], 16
    size = size or room
    if size < start or (kind != b"mdat" and size > room):
        raise DamagedTable("its boxes are damaged")
    return size, start, kind


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(content):
        size, start, kind = _head(content, at, len(content) - at)
        yield kind, content[at + start : at + size]
        at += size


def _table(movie: bytes, length: int) -> SampleTable:
    boxes = list(_boxes(movie))
    if any(kind == b"mvex" for kind, _ in boxes):
        raise NoTable("it is fragmented")
    track, media = _video_track(boxes)
    samples = dict(_boxes(dict(_boxes(media[b"minf"]))[b"stbl"]))
    codec, length_size = _codec(samples[b"stsd"])
    offsets, sizes = _places(samples)
    inside = (offsets >= 0) & (offsets + sizes <= length)
    count = len(inside) if inside.all() else int(np.argmin(inside))
    if not count:
        raise DamagedTable("no sample is inside the file")
    times = _times(samples, len(offsets))[:count]
    if any(start != -1 and rate != 1 << 16 for _, start, rate in _edits(track)):
        raise NoTable("it has an edit that changes its speed")
    shown = _shown(times, _spans(track, media, dict(boxes)[b"mvhd"]))
    if not len(shown):
        raise DamagedTable("its edit list shows no frame")
    return SampleTable(
        offsets[:count],
        sizes[:count],
        np.argsort(np.argsort(times, kind="stable"), kind="stable"),
        shown,
        _starts(samples, times),
        codec,
        length_size,
        box(b"stsd", samples[b"stsd"]),
        box(b"tkhd", _turned(track[b"tkhd"], dict(boxes)[b"mvhd"])),
    )


def _turned(header: bytes, movie_header: bytes) -> bytes:
    """Return the header of a track with the matrix of the movie in its own one."""
    at, movie_at = (52 if header[0] else 40), (48 if movie_header[0] else 36)
    of_track, of_movie = (
        np.array(struct.unpack_from(">9i", content, place), np.int64).reshape(3, 3)
        for content, place in ((header, at), (movie_header, movie_at))
    )
    if not of_movie.any():
        return header
    products = of_track[:, :, None] * of_movie[None]
    matrix = (products >> np.array([16, 16, 30])[None, :, None]).sum(1)  # their binary points
    turned: bytes = matrix.astype(">i4").tobytes()
    return header[:at] + turned + header[at + 36 :]


def _is_cut(movie: bytes) -> bool:
    """Return whether an edit list of a video track leaves frames out, or shows some again."""
    boxes = list(_boxes(movie))
    for track, media in _video_tracks(boxes):
        samples = dict(_boxes(dict(_boxes(media[b"minf"]))[b"stbl"]))
        sizes = samples.get(b"stsz") or samples.get(b"stz2") or bytes(12)
        [count] = struct.unpack_from(">I", sizes, 8)
        if count and _edits(track):
            times = _times(samples, min(count, MAX_SAMPLES))
            shown = _shown(times, _spans(track, media, dict(boxes)[b"mvhd"]))
            if not np.array_equal(shown, _shown(times, [])):
                return True
    return False


def _video_tracks(boxes: list[tuple[bytes, bytes]]) -> list[tuple[Boxes, Boxes]]:
    """Return the boxes of each video track, and those of its media."""
    tracks = [dict(_boxes(content)) for kind, content in boxes if kind == b"trak"]
    both = [(track, dict(_boxes(track[b"mdia"]))) for track in tracks if b"mdia" in track]
    return [(track, media) for track, media in both if media[b"hdlr"][8:12] == b"vide"]


def _video_track(boxes: list[tuple[bytes, bytes]]) -> tuple[Boxes, Boxes]:
    found = _video_tracks(boxes)
    if len(found) != 1:
        raise NoTable(f"it has {len(found)} video tracks")
    return found[0]


def _codec(descriptions: bytes) -> tuple[bytes, int]:
    """Return the one codec of the samples, and the bytes of the length of its NAL units."""
    [count] = struct.unpack_from(">I", descriptions, 4)
    if count != 1:
        raise NoTable(f"it has {count} descriptions of its codec")
    [(codec, entry), *_] = [*_boxes(descriptions[8:]), (b"", b"")]
    if not codec:
        raise DamagedTable("it lacks the description of its codec")
    if codec in _UNREADABLE:
        raise NoTable(_UNREADABLE[codec])
    if codec not in _LENGTH_SIZE:
        return codec, 0
    kind, at = _LENGTH_SIZE[codec]
    parameters = dict(_boxes(entry[78:]))[kind]  # 78 bytes: VisualSampleEntry
    return codec, 1 + (parameters[at] & 3)


def _places(samples: Boxes) -> tuple[Integers, Integers]:
    """Return the offset and the size of each sample."""
    if b"stz2" in samples:
        raise NoTable("its sizes are in a compact table")
    sizes = _sizes(samples[b"stsz"])
    wide = b"co64" in samples
    chunks = _numbers(samples[b"co64" if wide else b"stco"], ">u8" if wide else ">u4")
    runs = _numbers(samples[b"stsc"], ">u4", 3).reshape(-1, 3)
    first = np.append(runs[:, 0] - 1, len(chunks))
    per_chunk = np.repeat(runs[:, 1], np.clip(np.diff(first), 0, len(chunks)))
    if len(per_chunk) != len(chunks) or per_chunk.sum() < len(sizes) or first[0] != 0:
        raise DamagedTable("its table of chunks is damaged")
    if per_chunk[:-1].sum() > len(sizes):  # only in the last one they may end early
        raise DamagedTable("its table of chunks is damaged")
    chunk = np.repeat(np.arange(len(chunks)), _up_to(len(sizes), per_chunk))
    before = np.cumsum(sizes) - sizes
    first_sample = np.minimum(np.cumsum(per_chunk) - per_chunk, len(sizes) - 1)
    return chunks[chunk] + before - before[first_sample][chunk], sizes


def _up_to(count: int, repeats: Integers) -> Integers:
    """Return how often each is repeated when all together are at most count."""
    return np.diff(np.minimum(np.cumsum(repeats), count), prepend=0)


def _sizes(content: bytes) -> Integers:
    size, count = struct.unpack_from(">II", content, 4)
    if not 0 < count <= MAX_SAMPLES:
        raise DamagedTable(f"it has {count} samples")
    if size:
        return np.full(count, size, np.int64)
    return _numbers(content[4:], ">u4")


def _numbers(content: bytes, kind: str, each: int = 1, count_at: int = 4) -> Integers:
    """Return the numbers of a table that follow their count, `each` for one."""
    [count] = struct.unpack_from(">I", content, count_at)
    if len(content) < count_at + 4 + count * each * np.dtype(kind).itemsize:
        raise DamagedTable("one of its tables is cut short")
    return np.frombuffer(content, kind, count * each, count_at + 4).astype(np.int64)


def _times(samples: Boxes, count: int) -> Integers:
    """Return when each sample is shown, in units of the track."""
    durations = _spread(samples[b"stts"], count)
    times = np.cumsum(durations) - durations
    return times + _spread(samples[b"ctts"], count) if b"ctts" in samples else times


def _spread(content: bytes, count: int) -> Integers:
    """Return a value for each sample from a table of (samples, value)."""
    runs = _numbers(content, ">i4", 2).reshape(-1, 2)
    if not len(runs) or runs[:, 0].min() < 0:
        raise DamagedTable("its table of times is damaged")
    values = np.repeat(runs[:, 1], _up_to(count, runs[:, 0]))
    return np.append(values, np.full(count - len(values), runs[-1, 1]))


def _time_scale(content: bytes) -> int:
    """Return the units of a second, of a movie's or a track's header."""
    scale: int = struct.unpack_from(">I", content, 20 if content[0] else 12)[0]
    if not scale:
        raise DamagedTable("its time scale is 0")
    return scale


def _edits(track: Boxes) -> list[tuple[int, int, int]]:
    """Return the duration of each edit, in the movie's units, its start in the track's, and rate.

    The start is -1 where nothing is shown for a while, the rate 1 << 16 for that of the track.
    """
    lists = dict(_boxes(track.get(b"edts", b"")))
    if b"elst" not in lists:
        return []
    content = lists[b"elst"]
    entry = struct.Struct(">Qqi" if content[0] else ">Iii")
    [count] = struct.unpack_from(">I", content, 4)
    return [entry.unpack_from(content, 8 + number * entry.size) for number in range(count)]


def _spans(track: Boxes, media: Boxes, movie_header: bytes) -> list[tuple[float, float]]:
    """Return the spans of a track that are shown, from and to, in its units; none for all."""
    movie_scale, scale = _time_scale(movie_header), _time_scale(media[b"mdhd"])
    spans = []
    for duration, start, _ in _edits(track):
        if start == -1:
            continue
        # A duration is rounded to the movie's units: what begins in its last half is not shown.
        length = (duration - 0.5) * scale / movie_scale if duration else float("inf")
        spans.append((float(start), start + length))
    return spans


def _shown(times: Integers, edits: list[tuple[float, float]]) -> Integers:
    order = np.argsort(times, kind="stable")
    if not edits:
        return order
    at = times[order]
    return np.concatenate([order[(at >= start) & (at < end)] for start, end in edits])


def _starts(samples: Boxes, times: Integers) -> Integers:
    """Return the samples that are said to need no other one, and to part all others in two."""
    said = _numbers(samples[b"stss"], ">u4") - 1 if b"stss" in samples else np.arange(len(times))
    said = said[(said >= 0) & (said < len(times))]
    earliest = np.minimum.accumulate(times[::-1])[::-1]
    latest = np.maximum.accumulate(times)
    before = np.append(np.iinfo(np.int64).min, latest[:-1])
    return said[(earliest[said] >= times[said]) & (before[said] < times[said])]
