"""Mini-Kinetics-200 (Xie et al., ECCV 2018): the videos of Kinetics-400 of 200 chosen classes.

A list of class names over the CSV files of Kinetics: label,youtube_id,time_start,time_end,split.
"""

from collections.abc import Callable
from typing import ClassVar, Literal

from pydantic import Field

from video.annotations import Row, read_kinetics
from video.anywhere import Place, place_of
from video.clips import (
    Clip,
    ClipDataset,
    ClipSettings,
    find_videos,
    too_many_missing,
)
from video.places import FILE_IN_ROOT, FOLDER_IN_ROOT

SPLITS = {True: ("train", "training"), False: ("val", "valid", "validate", "validation")}
OTHERS = ("test", "testing")
"""Splits of which no row is used, without a word."""

HOW_TO_GET = {
    "classes": "One class name per line; the 200 names are those of "
    "https://github.com/s9xie/Mini-Kinetics-200, spelled as in the annotations.",
    "annotations": "The annotations and videos of Kinetics-400 are linked from "
    "https://github.com/cvdfoundation/kinetics-dataset.",
}


class MiniKineticsSettings(ClipSettings, frozen=True, extra="forbid"):
    """The data section of a job on Mini-Kinetics. Paths are relative to root.

    The class list and the CSV files may be s3://BUCKET/KEY.
    """

    name: Literal["mini_kinetics"] = "mini_kinetics"
    classes: str = Field(
        "mini_kinetics_200_classes.txt",
        description="names of the classes kept",
        json_schema_extra=FILE_IN_ROOT,
    )
    train_annotations: str = Field(
        "kinetics-400_train.csv",
        description="CSV of the training set",
        json_schema_extra=FILE_IN_ROOT,
    )
    val_annotations: str = Field(
        "kinetics-400_val.csv",
        description="CSV of the validation set",
        json_schema_extra=FILE_IN_ROOT,
    )
    train_videos: str = Field(
        "train", description="folder of the training videos", json_schema_extra=FOLDER_IN_ROOT
    )
    val_videos: str = Field(
        "val", description="folder of the validation videos", json_schema_extra=FOLDER_IN_ROOT
    )


class MiniKinetics(ClipDataset):
    """The videos of the chosen classes, in the order of the annotations.

    Classes are numbered in the order of the sorted class list. The file of a video is
    <id>_<start>_<end> (seconds, six digits) or <id> with any video extension, in the folder of the
    videos or in its subfolder named after the class.

    The papers drop videos shorter than 30 frames from the lists. Opening 80,000 files at every
    start would take longer than an epoch of a small run, and a list kept beside the videos could
    become outdated, so such a video raises BrokenVideo when it is loaded: training takes another
    one in its place, evaluation leaves it out of the mean, which has the same effect.
    """

    Settings: ClassVar[type[MiniKineticsSettings]] = MiniKineticsSettings
    metric: ClassVar[Literal["top1"]] = "top1"
    min_frames: ClassVar[int] = 30

    def __init__(
        self, settings: MiniKineticsSettings, *, train: bool, num_segments: int | None
    ) -> None:
        """Raises ValueError when the class list and the annotations do not match."""
        root = place_of(settings.root)
        annotations = root / (settings.train_annotations if train else settings.val_annotations)
        class_names = read_classes(root / settings.classes)
        found, left_out = read_kinetics(annotations)
        rows = [row for row in found if row.split.casefold() in SPLITS[train]]
        left_out.without(
            "split",
            {*SPLITS[True], *SPLITS[False], *OTHERS},
            ((row.youtube_id, row.split) for row in found),
        )
        if unknown := sorted(set(class_names) - {row.label for row in rows}):
            raise ValueError(
                f"{annotations} has no video of {len(unknown)} of the {len(class_names)} classes "
                f"in {root / settings.classes}, for instance {unknown[0]!r}"
                + "".join(f". {remark}" for remark in left_out.remarks())
            )
        number = {name: place for place, name in enumerate(class_names)}
        find = _finder(root / (settings.train_videos if train else settings.val_videos))
        super().__init__(
            settings,
            class_names=class_names,
            clips=[find(row, number[row.label]) for row in rows if row.label in number],
            train=train,
            num_segments=num_segments,
            remarks=left_out.remarks(),
        )

    @staticmethod
    def missing(settings: MiniKineticsSettings) -> list[str]:
        """Return a message for each thing that is missing."""
        root = place_of(settings.root)
        problems = []
        if not (root / settings.classes).is_file():
            problems.append(
                f"Mini-Kinetics class list: no file {root / settings.classes}. "
                f"{HOW_TO_GET['classes']}"
            )
        for name in (settings.train_annotations, settings.val_annotations):
            if not (root / name).is_file():
                problems.append(
                    f"Kinetics annotations: no file {root / name}. {HOW_TO_GET['annotations']}"
                )
        for name in (settings.train_videos, settings.val_videos):
            if not (root / name).is_dir():
                problems.append(
                    f"Mini-Kinetics videos: no folder {root / name}. {HOW_TO_GET['annotations']}"
                )
        return problems or _unusable(settings)


def read_classes(path: Place) -> list[str]:
    """Return the names of a class list, one per line, sorted. Raises ValueError."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is no text in UTF-8 ({error.reason} at byte {error.start}): save it in that"
        ) from error
    names = sorted({line.strip() for line in text.splitlines()} - {""})
    if not names:
        raise ValueError(f"{path} names no class; it should hold one class name per line")
    return names


def _unusable(settings: MiniKineticsSettings) -> list[str]:
    problems = []
    for train, subset in ((True, "training"), (False, "validation")):
        try:
            dataset = MiniKinetics(settings, train=train, num_segments=1)
        except ValueError as error:
            problems.append(str(error))
        else:
            problems += too_many_missing(dataset, subset, settings.max_broken_share)
    return list(dict.fromkeys(problems))


def _finder(folder: Place) -> Callable[[Row, int], Clip]:
    """Return a function from a row and its class number to a clip; each folder is listed once."""
    below = {sub.name: find_videos(sub) for sub in folder.iterdir() if sub.is_dir()}
    flat = find_videos(folder)

    def find(row: Row, label: int) -> Clip:
        trimmed = f"{row.youtube_id}_{row.start:06d}_{row.end:06d}"
        places = (flat, below.get(row.label, {}))
        files = [
            place[name] for name in (trimmed, row.youtube_id) for place in places if name in place
        ]
        path = files[0] if files else folder / f"{trimmed}.*"
        return Clip(path=path, found=bool(files), labels=(label,), name=trimmed)

    return find
