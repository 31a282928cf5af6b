"""What the image data sets share: the error for an unreadable image, and a check of the job."""


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
