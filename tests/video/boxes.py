"""Small changes to the boxes of an MP4 file."""

import struct
from collections.abc import Callable
from pathlib import Path

Edit = Callable[[bytearray], None]


def number(kind: bytes, at: int, value: int) -> Edit:
    """Return what writes a number so many bytes behind the kind of a box."""

    def write(content: bytearray) -> None:
        place = content.index(kind) + 4 + at
        content[place : place + 4] = struct.pack(">I", value)

    return write


def renamed(kind: bytes, new: bytes = b"free") -> Edit:
    """Return what gives a box another kind, so that it is not found."""

    def write(content: bytearray) -> None:
        place = content.index(kind)
        content[place : place + 4] = new

    return write


def edited(source: Path, folder: Path, *edits: Edit) -> Path:
    """Return a copy of a video, in a folder, with some edits."""
    content = bytearray(source.read_bytes())
    for edit in edits:
        edit(content)
    path = folder / "edited.mp4"
    path.write_bytes(content)
    return path
