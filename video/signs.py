"""What the bytes of a video file say of its kind, before anything decodes it."""

import re
from pathlib import Path

_SYNC = b"G"  # each packet of an MPEG transport stream begins with it
_PACKETS = (188, 192, 204)  # bytes: plain, with a time before each (Blu-ray), with a code after it
_IN_A_ROW = 5
_BEGIN = 1 << 13  # bytes in which a transport stream shows that it is one, wherever it was cut
_MPEG = b"\0\0\1"  # all that follows in a program stream or a bare MPEG stream begins with it
_MPEG_NAMES = frozenset({".mpg", ".mpeg"})
_B_FRAME = re.compile(rb"\x00\x00\x01\xb6[\x80-\xbf]")  # a B-VOP (ISO/IEC 14496-2, 6.2.5)
_HAS_B_FRAMES = 1 << 22  # bytes within which they show: encoders use them from the beginning
_AV1 = (b"av01", b"V_AV1")  # as MP4 and Matroska call the codec
_NEAR_ENDS = 1 << 16  # bytes of a file within which its codec is named


def is_transport_stream(path: Path) -> bool:
    """Return whether a file is an MPEG transport stream, also one that begins within a packet."""
    with path.open("rb") as file:
        begin = file.read(_BEGIN)
    wanted = _SYNC * _IN_A_ROW
    return any(
        begin[at : at + size * _IN_A_ROW : size] == wanted
        for size in _PACKETS
        for at in range(len(begin) - size * (_IN_A_ROW - 1))
    )


def is_without_places(path: Path) -> bool:
    """Return whether the frames of a file have no times by which a decoder could find them.

    Those are MPEG program streams and bare ones, and B-frames in AVI files.
    """
    with path.open("rb") as file:
        begin = file.read(4)
        if begin == b"RIFF":
            return bool(_B_FRAME.search(file.read(_HAS_B_FRAMES)))
    return begin.startswith(_MPEG) or path.suffix.lower() in _MPEG_NAMES


def is_av1(path: Path) -> bool:
    """Return whether the codec of an MP4 or Matroska file is AV1."""
    with path.open("rb") as file:
        ends = file.read(_NEAR_ENDS)
        file.seek(max(file.tell(), path.stat().st_size - _NEAR_ENDS))
        ends += file.read()
    return any(name in ends for name in _AV1)
