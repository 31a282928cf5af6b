"""What is said of a video that could not be read, and whether it is to blame."""

import errno
import os
import re
from pathlib import Path

from video import BrokenVideo, UnreadVideo

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


def _first_line(error: BaseException) -> str:
    """Return decord's reason without its time stamp, source line and stack trace."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r"\[[\d:]+\] \S+:\d+: ", "", lines[0])
