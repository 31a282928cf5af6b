"""What the image data sets share: settings, the error for an unreadable image, and a check."""

from typing import Literal

from pydantic import BaseModel, Field

from video.places import FILE_IN_ROOT, Root


class ImageSettings(BaseModel, frozen=True, extra="forbid"):
    """What the data section of a job holds for any data set of images."""

    name: str
    root: Root
    pixels: Literal["normalized", "raw"] = Field(
        "normalized",
        description="what the network sees: pixels in units of their deviation, or from 0 to 255",
    )
    limit_train: int | None = Field(
        None, ge=1, description="train on this many images, evenly spread over the list"
    )
    limit_val: int | None = Field(
        None, ge=1, description="evaluate on this many images, evenly spread over the list"
    )
    exclude: str | None = Field(
        None,
        description="leave out the samples that this file names, as `orch data check` writes it; "
        "relative to root, or s3://BUCKET/KEY",
        json_schema_extra=FILE_IN_ROOT,
    )
    max_broken_share: float = Field(
        0.05, ge=0, le=1, description="stop when more than this share of the images is broken"
    )


class BrokenImage(ValueError):
    """An image file that cannot be decoded. path: the file; reason: one line."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)  # both stay in args, so that the error can be pickled
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def refuse_segments(num_segments: int | None) -> None:
    """Raise ValueError when images are asked for in segments."""
    if num_segments is not None:
        raise ValueError(
            f"model.num_segments is {num_segments}, but the data set holds images, not videos: "
            "leave it out"
        )
