"""ActivityNet 1.3 (Heilbron et al., CVPR 2015): untrimmed videos of 200 activities.

Annotations are the official JSON: {"database": {id: {"subset", "annotations": [{"label", ...}]}}}.
"""

from typing import ClassVar, Literal

from pydantic import Field

from video.annotations import UNPUBLISHED, read_activitynet
from video.anywhere import Place, place_of
from video.clips import (
    Clip,
    ClipDataset,
    ClipSettings,
    find_videos,
    too_many_missing,
)
from video.places import FILE_IN_ROOT, FOLDER_IN_ROOT

SUBSETS = {True: "training", False: "validation"}

HOW_TO_GET = (
    "ActivityNet 1.3 is described at http://activity-net.org/download.html: the annotations are "
    "the file activity_net.v1-3.min.json, the videos can be requested with the form there, "
    "or downloaded from YouTube."
)


class ActivityNetSettings(ClipSettings, frozen=True, extra="forbid"):
    """The data section of a job that trains on ActivityNet, or on annotations in its format."""

    name: Literal["activitynet"] = "activitynet"
    annotations: str = Field(
        "activity_net.v1-3.min.json",
        description="annotation file, relative to root, or s3://BUCKET/KEY",
        json_schema_extra=FILE_IN_ROOT,
    )
    videos: str = Field(
        "videos",
        description="folder of the videos, relative to root",
        json_schema_extra=FOLDER_IN_ROOT,
    )
    metric: Literal["map", "top1"] = Field(
        "map", description="what is reported; the papers report mAP"
    )


class ActivityNet(ClipDataset):
    """The annotated videos of the training or the validation subset, in the file's order.

    Classes are numbered in the order of the sorted names of all labels of the file, whatever their
    subset. The file of a video is v_<id> or <id> with any video extension.
    """

    Settings: ClassVar[type[ActivityNetSettings]] = ActivityNetSettings

    def __init__(
        self, settings: ActivityNetSettings, *, train: bool, num_segments: int | None
    ) -> None:
        """Raises ValueError when the annotations are not in the format of ActivityNet."""
        root = place_of(settings.root)
        database, left_out = read_activitynet(root / settings.annotations)
        class_names = sorted({name for entry in database.values() for name in entry.labels})
        number = {name: place for place, name in enumerate(class_names)}
        folder = root / settings.videos
        files = find_videos(folder)
        clips = [
            _clip(folder, files, video_id, [number[name] for name in entry.labels])
            for video_id, entry in database.items()
            if entry.subset.casefold() == SUBSETS[train] and entry.labels
        ]
        subsets = ((name, entry.subset) for name, entry in database.items() if entry.labels)
        left_out.without("subset", {*SUBSETS.values(), UNPUBLISHED}, subsets)
        if not clips:
            raise ValueError(
                f"{root / settings.annotations} lists no annotated video of the subset "
                f"{SUBSETS[train]!r}" + "".join(f". {remark}" for remark in left_out.remarks()[:1])
            )
        super().__init__(
            settings,
            class_names=class_names,
            clips=clips,
            train=train,
            num_segments=num_segments,
            remarks=left_out.remarks(),
        )
        self.metric = settings.metric

    @staticmethod
    def missing(settings: ActivityNetSettings) -> list[str]:
        """Return a message for each thing that is missing."""
        annotations = place_of(settings.root) / settings.annotations
        videos = place_of(settings.root) / settings.videos
        problems = []
        if not annotations.is_file():
            problems.append(f"ActivityNet annotations: no file {annotations}. {HOW_TO_GET}")
        if not videos.is_dir():
            problems.append(f"ActivityNet videos: no folder {videos}. {HOW_TO_GET}")
        if problems:
            return problems
        for train, subset in SUBSETS.items():
            try:
                dataset = ActivityNet(settings, train=train, num_segments=1)
            except ValueError as error:
                problems.append(str(error))
            else:
                problems += too_many_missing(dataset, subset, settings.max_broken_share)
        return list(dict.fromkeys(problems))


def _clip(folder: Place, files: dict[str, Place], video_id: str, labels: list[int]) -> Clip:
    file = files.get(f"v_{video_id}") or files.get(video_id)
    path = file or folder / f"v_{video_id}.*"
    return Clip(path=path, found=file is not None, labels=tuple(labels), name=video_id)
