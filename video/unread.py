"""What class folders hold that is no sample, though somebody may have meant it to be one."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from video.anywhere import Place
from video.class_folders import seen

IMAGES = frozenset(
    {".avif", ".cr2", ".dng", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jxl", ".nef", ".npy"}
    | {".pgm", ".ppm", ".svg", ".tif", ".tiff"}
)
"""Endings of images that are not read."""
VIDEOS = frozenset(
    {".3g2", ".asf", ".divx", ".f4v", ".m2ts", ".m2v", ".mts", ".mxf", ".ogg", ".rm", ".rmvb"}
    | {".vob"}
)
"""Endings of videos that are not read."""

OFFICIAL = "ILSVRC2012_"
"""With which ImageNet's own archives begin, which stay where they were unpacked."""


@dataclass
class Kind:
    """Files of which the same is said: how many, and the first one."""

    count: int = 0
    first: object = None

    def add(self, one: object, times: int = 1) -> None:
        """Count one more, or several, or none."""
        if times:
            self.first = self.first or one
            self.count += times

    def line(self, said: str) -> list[str]:
        """Return a line that says it of all of them; none without any."""
        many = "1 file is" if self.count == 1 else f"{self.count} files are"
        return [f"{many} {said}, such as {self.first}."] if self.count else []


@dataclass
class Unread:
    """What is seen beside the samples while the class folders of a folder are listed.

    endings: of the files that are samples. others: of those that are of the same kind, but not
    read. archives: of those that hold samples, but not beside class folders.
    """

    folder: Place
    endings: frozenset[str]
    others: frozenset[str]
    archives: frozenset[str] = frozenset()
    deeper: Kind = field(default_factory=Kind)
    unknown: Kind = field(default_factory=Kind)
    doubled: Kind = field(default_factory=Kind)

    def files(self, class_name: str) -> list[Place]:
        """Return the samples of a class, in no order."""
        found, others = [], []
        for entry in seen(self.folder / class_name):
            if (ending := entry.suffix.lower()) in self.endings:
                found.append(entry)
            elif ending in self.others:
                others.append(entry)
            elif entry.is_dir():
                for one in seen(entry):
                    if one.suffix.lower() in self.endings:
                        self.deeper.add(one)
        known = {one.stem for one in found} if others else set()
        for entry in others:  # but for what accompanies a sample
            self.unknown.add(entry, entry.stem not in known)
        return found

    def remarks(self, class_names: Iterable[str]) -> list[str]:
        """Return a line for each reason for which something is no sample.

        class_names: of the class folders; an archive of one of them is no loss.
        """
        known = set(class_names)
        stray, packed = Kind(), Kind()
        for entry in seen(self.folder):
            if (ending := entry.suffix.lower()) in self.archives:
                packed.add(entry, not (entry.stem in known or entry.name.startswith(OFFICIAL)))
            elif ending in self.endings | self.others and entry.is_file():
                stray.add(entry)
        return [
            *packed.line("left out, since tars beside class folders are not read"),
            *stray.line("left out, in no class folder"),
            *self.deeper.line("left out, in folders within class folders"),
            *self.unknown.line("left out, of formats that are not read"),
            *self.doubled.line("left out, called as another one but for the ending"),
        ]
