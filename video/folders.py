"""Videos in class folders, as those of UCF101 and HMDB51, with their official lists or without."""

from typing import ClassVar, Literal

from pydantic import Field

from video.anywhere import Place, place_of
from video.class_folders import class_folders, named, without_files
from video.clips import Clip, ClipDataset, ClipSettings, by_stem, find_videos, too_many_missing
from video.decode import CONTAINERS
from video.places import FOLDER_IN_ROOT
from video.split_lists import read_split
from video.unread import VIDEOS, Unread

SUBSETS = {True: "training", False: "validation"}

HOW_TO_GET = (
    "Give the videos a folder for each class below train and val; or unpack UCF101 "
    "(https://www.crcv.ucf.edu/data/UCF101.php) or HMDB51 (https://serre-lab.clps.brown.edu/resource/"
    "hmdb-a-large-human-motion-database), whose class folders `videos` names and whose official "
    "split lists `lists` does."
)


class VideoFoldersSettings(ClipSettings, frozen=True, extra="forbid"):
    """The data section of a job on videos in class folders. Folders are relative to root."""

    name: Literal["video_folders"] = "video_folders"
    train_videos: str = Field(
        "train",
        description="folder of the class folders to train on, without lists",
        json_schema_extra=FOLDER_IN_ROOT,
    )
    val_videos: str = Field(
        "val",
        description="folder of those for the evaluation, without lists",
        json_schema_extra=FOLDER_IN_ROOT,
    )
    lists: str | None = Field(
        None,
        description="folder of the official lists of UCF101 (trainlist01.txt) or HMDB51 "
        "(CLASS_test_split1.txt), which then divide the videos of one folder",
        json_schema_extra=FOLDER_IN_ROOT,
    )
    split: int = Field(1, ge=1, le=3, description="which of the official splits, with lists")
    videos: str = Field(
        "videos",
        description="folder of all class folders, with lists",
        json_schema_extra=FOLDER_IN_ROOT,
    )


class VideoFolders(ClipDataset):
    """The videos of train or val by class and name, or those of an official split in its order.

    Classes are the sorted folders of train; with lists they are those of the lists, UCF101's by
    their numbers. The file of a listed video is its name with any video extension, in the folder of
    its class or right in that of all.
    """

    Settings: ClassVar[type[VideoFoldersSettings]] = VideoFoldersSettings
    metric: ClassVar[Literal["top1"]] = "top1"

    def __init__(
        self, settings: VideoFoldersSettings, *, train: bool, num_segments: int | None
    ) -> None:
        """Raises ValueError when there is no video, or the lists cannot be used."""
        find = _listed if settings.lists else _in_folders
        class_names, clips, remarks = find(settings, train)
        super().__init__(
            settings,
            class_names=class_names,
            clips=clips,
            train=train,
            num_segments=num_segments,
            remarks=remarks,
        )

    @staticmethod
    def missing(settings: VideoFoldersSettings) -> list[str]:
        """Return a message for each thing that is missing."""
        problems = (_without_lists if settings.lists else _without_folders)(settings)
        return problems or _unusable(settings)


Found = tuple[list[str], list[Clip], list[str]]
"""Class names, clips and remarks."""


def _in_folders(settings: VideoFoldersSettings, train: bool) -> Found:
    root = place_of(settings.root)
    class_names = class_folders(root / settings.train_videos)
    folder = root / (settings.train_videos if train else settings.val_videos)
    there = set(class_folders(folder))
    unread = Unread(folder, CONTAINERS, VIDEOS)
    clips = []
    for label, name in enumerate(class_names):
        videos = unread.files(name) if name in there else []
        kept = by_stem(videos)
        for doubled in sorted({*map(str, videos)} - {*map(str, kept.values())}):
            unread.doubled.add(doubled)
        clips += [Clip(path=file, found=True, labels=(label,)) for _, file in sorted(kept.items())]
    if not clips:
        raise ValueError(f"no video in class folders below {folder}")
    return class_names, clips, unread.remarks(class_names)


def _listed(settings: VideoFoldersSettings, train: bool) -> Found:
    root = place_of(settings.root)
    split = read_split(root / str(settings.lists), settings.split, train=train)
    folder = root / settings.videos
    flat = find_videos(folder)
    there = set(class_folders(folder))
    below = {name: find_videos(folder / name) for name in split.class_names if name in there}
    clips = []
    for label, video in split.rows:
        name = split.class_names[label]
        file = below.get(name, {}).get(video) or flat.get(video)
        path = file or folder / name / f"{video}.*"
        clips.append(Clip(path=path, found=file is not None, labels=(label,), name=video))
    return split.class_names, clips, split.remarks


def _without_folders(settings: VideoFoldersSettings) -> list[str]:
    root = place_of(settings.root)
    train, val = root / settings.train_videos, root / settings.val_videos
    if absent := [folder for folder in (train, val) if not class_folders(folder)]:
        return [f"Videos: no class folders in {folder}. {HOW_TO_GET}" for folder in absent]
    if unknown := sorted(set(class_folders(val)) - set(class_folders(train))):
        return [f"Videos: {val} has classes that {train} lacks: {named(unknown)}."]
    return [
        f"Videos: no video right in the class folder of {named(empty)} in {folder}: fill or remove "
        f"{'it' if len(empty) == 1 else 'them'}."
        for folder in (train, val)
        if (empty := without_files(folder, CONTAINERS))
    ]


def _without_lists(settings: VideoFoldersSettings) -> list[str]:
    root = place_of(settings.root)
    wanted: tuple[tuple[str, Place], ...] = (
        ("lists of a split", root / str(settings.lists)),
        ("videos", root / settings.videos),
    )
    return [
        f"Videos in class folders, {what}: no folder {folder}. {HOW_TO_GET}"
        for what, folder in wanted
        if not folder.is_dir()
    ]


def _unusable(settings: VideoFoldersSettings) -> list[str]:
    problems = []
    for train, subset in SUBSETS.items():
        try:
            dataset = VideoFolders(settings, train=train, num_segments=1)
        except ValueError as error:
            problems.append(str(error))
        else:
            problems += too_many_missing(dataset, subset, settings.max_broken_share)
    return list(dict.fromkeys(problems))
