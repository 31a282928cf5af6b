"""Clips as tensors: decoding, sampling, transforms, and the video data sets."""

from pathlib import Path


class BrokenVideo(ValueError):
    """A video without usable frames: missing, damaged, of an unknown format, or too short.

    path: the file (or the pattern of the file) to be read, also one elsewhere; reason: one line.
    """

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(path, reason)  # both stay in args, so that the error can be pickled
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class MissingVideo(BrokenVideo):
    """A video that has no file."""


class ShortVideo(BrokenVideo):
    """A video with fewer frames than its data set needs."""


class UnreadVideo(BrokenVideo):
    """A video that could not be read for want of memory or the like: it may be whole."""
