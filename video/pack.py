"""Some frames of a video as JPEGs in one file: what a clip of segments is chosen from.

A pack answers for its video: frames have the video's numbers. Of the video's `parts` equal parts
(as many as there are pictures) the middle frame is kept, and stands for the whole part. A segment
is made of whole parts when the number of segments divides that of parts, so a frame of a segment is
never replaced by one of another; and if it does so an odd number of times, the middle of a segment
is the middle of a part: test clips are those of the video itself.
"""

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from video.sampling import segment_centers

MAGIC = b"\x93orchpack\n"
ENDING = ".pack"
_HEAD = struct.Struct("<IQI")  # the version, the frames of the video, the pictures
_ENTRY = struct.Struct("<QQII")  # of a picture: its frame's number, offset, bytes, checksum
VERSION = 1
MOST_PICTURES = 1 << 20


class DamagedPack(ValueError):
    """A file that is no whole pack; says why."""


@dataclass(frozen=True)
class Pack:
    """What a pack holds. frames: of its video; entries: number, offset, bytes, checksum of each."""

    frames: int
    entries: tuple[tuple[int, int, int, int], ...]


def chosen(frames: int, parts: int) -> list[int]:
    """Return the frames of a video that a pack of so many parts keeps.

    All are kept of a video with less than two for each part: the middle of a part would not always
    be in it.
    """
    return segment_centers(frames, frames if frames < 2 * parts else parts)


def write_pack(
    target: Path, frames: int, pictures: Iterable[tuple[int, NDArray[np.uint8]]], quality: int
) -> None:
    """Write the pictures of a video of so many frames: number and RGB of each. Raises OSError."""
    entries, contents, at = [], [], 0
    for number, picture in pictures:
        pixels = np.ascontiguousarray(picture)
        content = simplejpeg.encode_jpeg(pixels, quality, "RGB", "420")
        entries.append((number, at, len(content), zlib.crc32(content)))
        contents.append(content)
        at += len(content)
    start = len(MAGIC) + _HEAD.size + _ENTRY.size * len(entries) + 4
    table = b"".join(_ENTRY.pack(n, start + offset, *rest) for n, offset, *rest in entries)
    head = MAGIC + _HEAD.pack(VERSION, frames, len(entries)) + table
    with target.open("wb") as file:
        file.write(head + struct.pack("<I", zlib.crc32(head)))
        file.writelines(contents)


def is_pack(begin: bytes) -> bool:
    """Return whether a file that begins so is a pack."""
    return begin.startswith(MAGIC)


def read_head(path: Path) -> Pack:
    """Return what a pack holds. Raises DamagedPack, OSError."""
    with path.open("rb") as file:
        return _head(file)


def read_pictures(path: Path, numbers: Sequence[int]) -> NDArray[np.uint8]:
    """Return the pictures that stand for frames, RGB, uint8 (frames, height, width, 3).

    Raises DamagedPack; IndexError for the number of no frame; OSError.
    """
    with path.open("rb") as file:
        pack = _head(file)
        asked = np.asarray(numbers, np.int64)
        if len(asked) and not 0 <= asked.min() <= asked.max() < pack.frames:
            raise IndexError(f"it has {pack.frames} frames")
        edges = np.arange(len(pack.entries) + 1) * pack.frames // len(pack.entries)
        parts = np.searchsorted(edges, asked, side="right") - 1
        found = {part: _picture(file, pack.entries[part]) for part in dict.fromkeys(parts.tolist())}
    if len({picture.shape for picture in found.values()}) > 1:
        raise DamagedPack("its pictures differ in size")
    return np.stack([found[part] for part in parts.tolist()])


def _head(file: BinaryIO) -> Pack:
    begin = file.read(len(MAGIC) + _HEAD.size)
    if not is_pack(begin) or len(begin) < len(MAGIC) + _HEAD.size:
        raise DamagedPack("it is no pack")
    version, frames, count = _HEAD.unpack_from(begin, len(MAGIC))
    if version != VERSION or not 0 < count <= min(frames, MOST_PICTURES):
        raise DamagedPack(f"a pack of version {version}, with {count} pictures of {frames} frames")
    table = file.read(_ENTRY.size * count)
    checksum = file.read(4)
    if checksum != struct.pack("<I", zlib.crc32(begin + table)):
        raise DamagedPack("its table is damaged")
    return Pack(frames, tuple(_ENTRY.iter_unpack(table)))


def _picture(file: BinaryIO, entry: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    number, offset, size, checksum = entry
    file.seek(offset)
    content = file.read(size)
    if zlib.crc32(content) != checksum:
        raise DamagedPack(f"the picture of frame {number} is damaged")
    pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(content, "RGB")
    return pixels
