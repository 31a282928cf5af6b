"""What is said of a video that could not be read, and whether it is to blame."""

import errno
import os
import re
from collections.abc import Sequence
from pathlib import Path

from video import BrokenVideo, UnreadVideo

PREPARED = "a copy made by `orch data prepare` can be read"
MAX_PIXELS = 1 << 25
"""Of a frame: those of 8K television."""
MIN_WIDTH = 32
"""Pixels in a row, with fewer of which decord gives wrong ones."""
_PASSING = (
    *(errno.EAGAIN, errno.ENOMEM, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EINTR),
    *(errno.ESTALE, errno.ETIMEDOUT, errno.ENOBUFS),
)
_SHORTAGES = (*map(os.strerror, _PASSING), "bad_alloc")
"""Texts of errors for which a video is not to blame."""


def broken(path: Path, what: str, error: BaseException) -> BrokenVideo:
    """Return what is to be said of a video that could not be read."""
    kind = UnreadVideo if any(text in str(error) for text in _SHORTAGES) else BrokenVideo
    return kind(path, f"{what} ({_first_line(error)})")


def unfit(shape: Sequence[int]) -> str:
    """Return why frames of a shape cannot be read, else "".

    shape: height, width (both 0 where they are not known) and, where a frame is there, colors.
    """
    height, width, *colors = shape
    if 0 < width < MIN_WIDTH:
        return f"it is {width} pixels wide, at least {MIN_WIDTH} are needed"
    if height * width > MAX_PIXELS:
        return f"it has {width} x {height} pixels, at most {MAX_PIXELS / 1e6:.0f} million"
    if colors not in ([], [3]):  # the end of each row is taken for more colors
        return f"turned frames of {width} pixels in a row come distorted"
    return ""


def _first_line(error: BaseException) -> str:
    """Return decord's reason without its time stamp, source line and stack trace."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r"\[[\d:]+\] \S+:\d+: ", "", lines[0])
