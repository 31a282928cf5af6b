"""What the video data sets share: their settings, the search for files, and loading a clip."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import BaseModel, Field, model_validator
from torch import Tensor

from video import BrokenVideo, MissingVideo, ShortVideo
from video.anywhere import Place, at_hand, read_again
from video.class_folders import seen
from video.decode import CONTAINERS, Frames, every_frame, frames
from video.exclude import without_excluded
from video.index import Index
from video.library import Library
from video.places import FILE_IN_ROOT, ROOT, Root
from video.sampling import random_frames, segment_centers
from video.transforms import multi_scale_crop, random_flip, scale_and_center_crop

ENDINGS = frozenset({*CONTAINERS, ".*"})
"""Of the names of videos; the last one is that of a video without a file."""


class ClipSettings(BaseModel, frozen=True, extra="forbid"):
    """The settings of every video data set."""

    root: Root = Field(
        description="folder of the data set, or s3://BUCKET/PREFIX",
        json_schema_extra=ROOT,
    )
    crop: int = Field(224, ge=8, description="height and width of what the network sees")
    test_scale: int = Field(256, ge=8, description="short side before the center crop of the test")
    crop_scales: tuple[float, ...] = Field(
        (1.0, 0.875, 0.75, 0.66),
        min_length=1,
        description="sides of the training crops, as fractions of the short side",
    )
    flip: bool = Field(True, description="mirror half of the training clips")
    limit_train: int | None = Field(
        None, ge=1, description="train on this many clips, evenly spread over the list"
    )
    limit_val: int | None = Field(
        None, ge=1, description="evaluate on this many clips, evenly spread over the list"
    )
    exclude: str | None = Field(
        None,
        description="leave out the samples that this file names, as `orch data check` writes it; "
        "relative to root, or s3://BUCKET/KEY",
        json_schema_extra=FILE_IN_ROOT,
    )
    max_broken_share: float = Field(
        0.05, ge=0, le=1, description="stop when more than this share of the videos is broken"
    )

    @model_validator(mode="after")
    def _check_crops(self) -> Self:
        if self.crop > self.test_scale:
            raise ValueError(
                f"crop {self.crop} is larger than test_scale {self.test_scale}, from which it "
                "is cut; set test_scale to at least the crop"
            )
        if not all(0 < scale <= 1 for scale in self.crop_scales):
            raise ValueError("crop_scales are fractions of the short side: above 0, at most 1")
        return self


@dataclass(frozen=True)
class Clip:
    """One labeled video. path: its file, or the pattern that no file matched.

    name: what the annotations call it, whatever its file is called; without them it is "".
    """

    path: Place
    found: bool
    labels: tuple[int, ...]
    name: str = ""


class ClipDataset:
    """Labeled videos, each loaded as one clip of num_segments frames (TSN).

    Subclasses read the annotations of their data set and hand over the clips.
    """

    kind: ClassVar[Literal["video"]] = "video"
    mean: ClassVar[tuple[float, float, float]] = (0.485, 0.456, 0.406)
    std: ClassVar[tuple[float, float, float]] = (0.229, 0.224, 0.225)
    min_frames: ClassVar[int] = 1

    def __init__(
        self,
        settings: ClipSettings,
        *,
        class_names: Sequence[str],
        clips: Sequence[Clip],
        train: bool,
        num_segments: int | None,
        remarks: Sequence[str] = (),
    ) -> None:
        if num_segments is None:
            raise ValueError(
                "a video data set needs the number of frames in a clip: set model.num_segments"
            )
        self.class_names = list(class_names)
        self.num_classes = len(self.class_names)
        clips, self.exclusion = without_excluded(
            clips, lambda clip: str(clip.path), settings, ENDINGS
        )
        self.remarks = [*remarks, *self.exclusion.remarks]
        self.sample_shape = (num_segments, 3, settings.crop, settings.crop)
        limit = settings.limit_train if train else settings.limit_val
        kept = segment_centers(len(clips), min(limit or len(clips), len(clips)))
        self.clips = [clips[index] for index in kept]
        self._settings = settings
        self._num_segments = num_segments
        self._library = Library()

    @property
    def num_missing(self) -> int:
        """How many of the videos have no file; loading such a video raises BrokenVideo."""
        return sum(not clip.found for clip in self.clips)

    def __len__(self) -> int:
        return len(self.clips)

    def label(self, index: int) -> int:
        """Return the label to train on: the lowest of the video's class numbers."""
        return min(self.clips[index].labels)

    def targets(self, index: int) -> list[int]:
        """Return all true class numbers of the video."""
        return list(self.clips[index].labels)

    def source(self, index: int) -> str:
        """Return the file name, for messages."""
        return str(self.clips[index].path)

    def file_name(self, index: int) -> str:
        """Return the name that a video has in its list, or else that of its file."""
        clip = self.clips[index]
        return clip.name or clip.path.name

    def load(self, index: int, generator: np.random.Generator | None) -> Tensor:
        """Return a clip, uint8 (segments, 3, crop, crop): random, or the test's without generator.

        Raises BrokenVideo when the file is missing, too short or cannot be decoded.
        """
        settings = self._settings
        drawn = generator.bit_generator.state if generator else {}

        def read() -> Frames:
            if generator:
                generator.bit_generator.state = drawn
            return self._chosen(index, generator)

        chosen = read_again(read)
        if generator is None:
            tested = scale_and_center_crop(_as_clip(chosen), settings.test_scale, settings.crop)
            return tested.contiguous()
        cut = multi_scale_crop(_as_clip(chosen), settings.crop, settings.crop_scales, generator)
        return (random_flip(cut, generator) if settings.flip else cut).contiguous()

    def known(self, index: int) -> Index:
        """Return what is known of a video; no frame of a known one is read.

        Raises BrokenVideo, of which MissingVideo and ShortVideo are kinds.
        """
        return read_again(lambda: self._known(index))

    def examine(self, index: int, *, every: bool = False) -> Index:
        """Look at a video as if it were new, and read the frames of its test clip and the last one.

        every: read every frame. Returns what is known of it. Raises BrokenVideo, or a kind of it.
        """
        return read_again(lambda: self._examine(index, every))

    def _chosen(self, index: int, generator: np.random.Generator | None) -> Frames:
        segments = self._num_segments
        with self.at_hand(index) as (file, known):
            if generator is None:
                return frames(file, known, segment_centers(known.frames, segments))
            return frames(file, known, random_frames(known.frames, segments, generator))

    def _known(self, index: int) -> Index:
        with self.at_hand(index) as (_, known):
            return known

    def _examine(self, index: int, every: bool) -> Index:
        with self.file_of(index) as file:
            self._library.look_again(file)
        with self.at_hand(index) as (file, known):
            if every:
                for _ in every_frame(file, known):
                    pass
            else:
                asked = [*segment_centers(known.frames, self._num_segments), known.frames - 1]
                frames(file, known, asked)
        return known

    @contextlib.contextmanager
    def at_hand(self, index: int) -> Iterator[tuple[Path, Index]]:
        """Give the file of a clip on this machine, and what is known of it. Raises BrokenVideo."""
        with self.file_of(index) as file:
            known = self._library.index(file)
            if known.frames < self.min_frames:
                few = f"{known.frames} frames, at least {self.min_frames} are needed"
                raise ShortVideo(file, few)
            yield file, known

    @contextlib.contextmanager
    def file_of(self, index: int) -> Iterator[Path]:
        """Give the file of a clip on this machine; what is wrong with it is said of its own place.

        Raises MissingVideo, and LostCopy where a copy of it is gone, not the file.
        """
        clip, here = self.clips[index], None
        try:
            if not clip.found:
                raise FileNotFoundError
            with at_hand(clip.path) as here:
                yield here
        except FileNotFoundError as error:
            if here and here.exists():
                raise  # it is said of another file
            raise MissingVideo(str(clip.path), "no such file") from error
        except BrokenVideo as error:
            reason = error.reason.replace(str(here), str(clip.path)) if here else error.reason
            raise type(error)(str(clip.path), reason) from error


def find_videos(folder: Place) -> dict[str, Place]:
    """Return the video files of a folder by name without extension, but for hidden ones.

    Of two files that differ only in their extension the first in alphabetical order is taken.
    """
    return by_stem(entry for entry in seen(folder) if entry.suffix.lower() in CONTAINERS)


def by_stem(videos: Iterable[Place]) -> dict[str, Place]:
    """Return files by name without extension, of several ones the first in alphabetical order."""
    files = sorted(videos, key=lambda entry: entry.name)
    return {file.stem: file for file in reversed(files)}


def too_many_missing(dataset: ClipDataset, subset: str, allowed: float) -> list[str]:
    """Return one message when more than the allowed share of a subset's videos has no file."""
    absent = [clip.path for clip in dataset.clips if not clip.found]
    if len(absent) <= allowed * len(dataset):
        return []
    return [
        f"{len(absent)} of {len(dataset)} {subset} videos have no file, for instance {absent[0]}; "
        f"max_broken_share allows {allowed:.0%}. Fetch them, or name another folder with `videos`."
    ]


def _as_clip(chosen: np.ndarray) -> Tensor:
    """(frames, height, width, 3) -> (frames, 3, height, width), the same memory."""
    return torch.from_numpy(chosen).permute(0, 3, 1, 2)
