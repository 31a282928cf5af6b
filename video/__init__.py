"""Clips as tensors: decoding, sampling, transforms, and the video data sets."""

from pathlib import Path


class BrokenVideo(ValueError):
    """A video that gives no frames: absent, damaged, of an unknown kind, or too short.

    path: the file (or the pattern of the file) that was to be read; reason: one line.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)  # both stay in args, so that the error can be pickled
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"
