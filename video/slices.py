"""Small MP4 files, in memory, with only those samples of a large one that some frames need.

A decoder that opens the whole file reads its table and all its packets. Here it gets, for each
wanted frame, the samples from the last one that decoding may begin with up to the frame itself; of
H.264 less those that no other one refers to (nal_ref_idc is 0; ITU-T H.264, 7.4.1).
"""

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from video.mp4 import H264, HEVC, Integers, NoTable, SampleTable, box

MAX_BYTES = 64 << 20  # of samples in memory at once, and of what is read for them
_PICTURE = range(1, 6)  # the types of NAL units of H.264 with a part of a picture
_IDR = 5  # the one of a picture with which all before is forgotten
_RANDOM_ACCESS = range(
    16, 24
)  # the types of HEVC with which decoding may begin (ITU-T H.265, 7.4.2)


class TooManyBytes(NoTable):
    """What was asked for together does not fit into the memory that there is for it."""


@dataclass(frozen=True)
class Slice:
    """A small MP4 file. frames: the numbers in it of those that were asked for, in that order.

    count: of all frames in it.
    """

    content: bytes
    frames: list[int]
    count: int


def cut(path: Path, table: SampleTable, frames: Sequence[int]) -> Slice:
    """Return a small file with the frames of a large one that have these numbers there.

    Raises NoTable when the file is not what its table says, or MAX_BYTES do not hold the samples:
    TooManyBytes where they may hold those of fewer frames. Raises OSError, and IndexError for the
    number of no frame.
    """
    wanted = table.shown[np.asarray(frames, np.int64)]
    groups = np.searchsorted(table.starts, wanted, side="right") - 1
    if groups.min(initial=0) < 0:
        raise NoTable("no sample is said to be one with which decoding may begin")
    kept: dict[int, bytes] = {}
    together = 0
    file = os.open(path, os.O_RDONLY)
    try:
        groups = _beginnings(file, table, groups)
        for group in np.unique(groups):
            needed = _needed(file, table, int(group), set(wanted[groups == group].tolist()))
            kept |= needed
            together += sum(map(len, needed.values()))
            if together > MAX_BYTES:
                raise TooManyBytes("too many bytes are needed together")
    finally:
        os.close(file)
    samples = np.array(sorted(kept))
    ranks = table.ranks[samples]
    content = _file(table, [kept[sample] for sample in samples], np.argsort(np.argsort(ranks)))
    return Slice(
        content, np.searchsorted(np.sort(ranks), table.ranks[wanted]).tolist(), len(samples)
    )


def pieces(table: SampleTable, most: int = MAX_BYTES // 4) -> Iterator[list[int]]:
    """Yield the numbers of all frames in order, in runs that need little more than their own bytes.

    A run ends where a group of pictures does, with which it has at least `most` bytes.
    """
    groups = np.searchsorted(table.starts, table.shown, side="right")
    ends = [*(np.flatnonzero(np.diff(groups)) + 1).tolist(), len(groups)]
    bytes_before = np.append(0, np.cumsum(table.sizes[table.shown]))
    first = 0
    for end in ends:
        if end == len(groups) or bytes_before[end] - bytes_before[first] >= most:
            yield list(range(first, end))
            first = end


def _beginnings(file: int, table: SampleTable, groups: Integers) -> Integers:
    """Return for each group of pictures the last one up to it with which decoding may begin.

    Others are such that they can be looked at after some time (intra refresh).
    """
    if table.codec not in (*H264, *HEVC):
        return groups
    found: dict[int, int] = {}
    last = beginning = -1
    for group in np.unique(groups).tolist():
        at, passed = group, 0
        while at > last:
            start = int(table.starts[at])
            size = min(int(table.sizes[start]), MAX_BYTES)
            sample = os.pread(file, size, int(table.offsets[start]))
            if _may_begin(sample, table):
                beginning = at
                break
            at -= 1
            passed += size
            if passed > MAX_BYTES:
                raise NoTable("no picture near is one with which decoding may begin")
        if beginning < 0:
            raise NoTable("its first picture is not one with which decoding may begin")
        found[group] = beginning
        last = group
    return np.array([found[group] for group in groups.tolist()], np.int64)


def _needed(file: int, table: SampleTable, group: int, wanted: set[int]) -> dict[int, bytes]:
    """Return the samples from a group of pictures on that the wanted ones need, by number."""
    first = int(table.starts[group])
    samples = enumerate(_read(file, table, first, max(wanted) + 1), first)
    return {
        sample: content
        for sample, content in samples
        if sample in wanted or _is_referred_to(content, table)
    }


def _may_begin(sample: bytes, table: SampleTable) -> bool:
    """Return whether a sample that is said to need no other one keeps that word."""
    if table.codec in H264:
        return any(head & 31 == _IDR for head in _heads(sample, table.length_size))
    if table.codec in HEVC:
        return any(head >> 1 & 63 in _RANDOM_ACCESS for head in _heads(sample, table.length_size))
    return True


def _is_referred_to(sample: bytes, table: SampleTable) -> bool:
    """Return whether other samples may need one."""
    if table.codec not in H264:
        return True
    heads = _heads(sample, table.length_size)
    return any(head & 31 in _PICTURE and head & 0x60 for head in heads)


def _read(file: int, table: SampleTable, first: int, end: int) -> Iterator[bytes]:
    """Yield the samples of a file from the first to before the end, read at once."""
    offsets, sizes = table.offsets[first:end], table.sizes[first:end]
    low, high = int(offsets.min()), int((offsets + sizes).max())
    if high - low > MAX_BYTES:
        raise NoTable("too many bytes lie between pictures with which decoding may begin")
    content = os.pread(file, high - low, low)
    if len(content) < high - low:
        raise NoTable("it is shorter than it was")
    for offset, size in zip((offsets - low).tolist(), sizes.tolist(), strict=True):
        yield content[offset : offset + size]


def _heads(sample: bytes, length_size: int) -> Iterator[int]:
    """Yield the first byte of each NAL unit: its type and, of H.264, whether others refer to it."""
    at = 0
    while at + length_size < len(sample):
        yield sample[at + length_size]
        at += length_size + int.from_bytes(sample[at : at + length_size])


def _file(table: SampleTable, samples: Sequence[bytes], ranks: Integers) -> bytes:
    """Return an MP4 file of samples. ranks: the place of each in the order of showing."""
    start = box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41")
    data = box(b"mdat", *samples)
    offset = len(start) + 8 + len(_movie(table, samples, ranks, 0))
    return start + _movie(table, samples, ranks, offset) + data


def _movie(table: SampleTable, samples: Sequence[bytes], ranks: Integers, offset: int) -> bytes:
    count = len(samples)
    delays = ranks - np.arange(count)
    composition = np.stack([np.ones(count, np.int64), delays - delays.min()], axis=1)
    lists = box(
        b"stbl",
        table.description,
        _full(b"stts", _numbers(1, count, 1)),
        _full(b"ctts", _numbers(count), composition.astype(">u4").tobytes()),
        *([] if _is_intra_only(table) else [_full(b"stss", _numbers(1, 1))]),
        _full(b"stsc", _numbers(1, 1, count, 1)),
        _full(b"stsz", _numbers(0, count, *map(len, samples))),
        _full(b"stco", _numbers(1, offset)),
    )
    source = box(b"dinf", _full(b"dref", _numbers(1), box(b"url ", _numbers(1))))
    media = box(
        b"mdia",
        _full(b"mdhd", _numbers(0, 0, _RATE, count, 0)),
        _full(b"hdlr", _numbers(0), b"vide", bytes(13)),
        box(b"minf", box(b"vmhd", _numbers(1, 0, 0)), source, lists),
    )
    header = _numbers(0, 0, _RATE, count, 1 << 16, 1 << 24, 0, 0, *_UPRIGHT, *[0] * 6, 2)
    return box(b"moov", _full(b"mvhd", header), box(b"trak", table.header, media))


def _is_intra_only(table: SampleTable) -> bool:
    """Return whether no sample needs another one; a decoder may add one to the last else (PNG)."""
    return table.codec not in (*H264, *HEVC) and len(table.starts) == len(table.sizes)


_RATE = 25  # frames a second: of no consequence
_UPRIGHT = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)


def _full(kind: bytes, *content: bytes) -> bytes:
    return box(kind, bytes(4), *content)


def _numbers(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}I", *numbers)
