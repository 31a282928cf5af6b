"""How a video is read, found out once: its number of frames, the way to them, and its table.

An index is kept on disk by the path, the size and the time of the file, so that neither another
worker nor another run finds it out again.
"""

import hashlib
import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from video.mp4 import Integers, SampleTable

VERSION = 4
"""Of the files: one of another version is not read."""


class Way(StrEnum):
    """How the frames of a file are reached.

    slices: from its table, only what they need. seek: the decoder jumps to them. in_order: it
    decodes all before them, since a jump would end at another frame. pictures: they are JPEGs.
    """

    SLICES = "slices"
    SEEK = "seek"
    IN_ORDER = "in order"
    PICTURES = "pictures"


@dataclass(frozen=True)
class Index:
    """What is known of a video.

    frames: how many are shown. table: for slices. broken: why nothing of it can be read, else "".
    """

    frames: int
    way: Way = Way.SEEK
    table: SampleTable | None = None
    broken: str = ""


class IndexFolder:
    """Indices on disk, a few kilobytes for a video; one that cannot be kept is found out again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, video: Path) -> Index | None:
        """Return the index of a video as it is now, if it is known."""
        try:
            return unpacked(self._file(video).read_bytes())
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, video: Path, index: Index) -> None:
        """Keep the index of a video, whole or not at all."""
        try:
            file = self._file(video)
            file.parent.mkdir(parents=True, exist_ok=True)
            new = file.with_suffix(f".{os.getpid()}.tmp")
            new.write_bytes(packed(index))
            new.replace(file)
        except OSError:
            return

    def _file(self, video: Path) -> Path:
        known = video.stat()
        key = f"{video.resolve()}\n{known.st_size}\n{known.st_mtime_ns}"
        name = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        return self._folder / name[:2] / f"{name}.index"


def packed(index: Index) -> bytes:
    """Return an index as bytes: a line of JSON, and the numbers of its table, compressed.

    Offsets are kept as the bytes between two samples, ranks as the distance from their place: both
    are small, and mostly the same.
    """
    plain: dict[str, object] = {"version": VERSION, "frames": index.frames}
    plain |= {"way": index.way, "broken": index.broken}
    content = b""
    if table := index.table:
        plain |= {"codec": table.codec.hex(), "length_size": table.length_size}
        plain |= {"description": table.description.hex(), "header": table.header.hex()}
        numbers = {
            "gaps": np.diff(table.offsets, prepend=0) - np.append(0, table.sizes[:-1]),
            "sizes": table.sizes,
            "delays": table.ranks - np.arange(len(table.ranks)),
            "shown": np.diff(table.ranks[table.shown], prepend=0),
            "starts": np.diff(table.starts, prepend=0),
        }
        small = {name: _small(values) for name, values in numbers.items()}
        plain |= {"arrays": {name: (some.dtype.str, len(some)) for name, some in small.items()}}
        content = zlib.compress(b"".join(some.tobytes() for some in small.values()))
    plain |= {"sha256": hashlib.sha256(content).hexdigest()}
    return json.dumps(plain).encode() + b"\n" + content


def unpacked(content: bytes) -> Index:
    """Return the index in bytes. Raises ValueError, KeyError or TypeError for others."""
    line, _, rest = content.partition(b"\n")
    plain = json.loads(line)
    if plain["version"] != VERSION:
        raise ValueError("an index of another version")
    if plain["sha256"] != hashlib.sha256(rest).hexdigest():
        raise ValueError("a damaged index")
    table = None
    if rest:
        values = _arrays(zlib.decompress(rest), plain["arrays"])
        sizes = values["sizes"]
        ranks = values["delays"] + np.arange(len(sizes))
        table = SampleTable(
            offsets=np.cumsum(values["gaps"] + np.append(0, sizes[:-1])),
            sizes=sizes,
            ranks=ranks,
            shown=np.argsort(ranks, kind="stable")[np.cumsum(values["shown"])],
            starts=np.cumsum(values["starts"]),
            codec=bytes.fromhex(plain["codec"]),
            length_size=plain["length_size"],
            description=bytes.fromhex(plain["description"]),
            header=bytes.fromhex(plain["header"]),
        )
    return Index(plain["frames"], Way(plain["way"]), table, plain["broken"])


def _arrays(content: bytes, kinds: Mapping[str, tuple[str, int]]) -> dict[str, Integers]:
    """Return arrays that lie one after the other. kinds: the type and the length of each."""
    found, at = {}, 0
    for name, (kind, count) in kinds.items():
        small = np.frombuffer(content, kind, count, at)
        found[name], at = small.astype(np.int64), at + small.nbytes
    return found


def _small(values: Integers) -> np.ndarray:
    """Return whole numbers in the smallest type that holds them all."""
    if not values.size:
        return values.astype(np.uint8)
    return values.astype(np.result_type(*map(np.min_scalar_type, (values.min(), values.max()))))
