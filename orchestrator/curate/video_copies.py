"""Copies of videos, one by one: all frames as H.264, or some as JPEGs in one file."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.curate.check import Sample, in_files
from orchestrator.curate.manifest import Copy, Options, Source, in_one_step
from orchestrator.curate.ours import is_below
from orchestrator.curate.outcome import Outcome, State
from orchestrator.data import Dataset
from orchestrator.files import FULL, make_folder
from video import BrokenVideo, MissingVideo, ShortVideo, UnreadVideo
from video.anywhere import Elsewhere, Place, refuse_irregular
from video.clips import ClipDataset
from video.decode import Frame, every_frame, frames, probe
from video.exclude import listed_name
from video.index import Index, Way
from video.pack import ENDING, DamagedPack, chosen, read_head, read_pictures, write_pack
from video.recode import CannotCode, Tool, read_otherwise, shrunk, write_video

AT_ONCE = 8
"""Frames of a video that are in memory together."""


@dataclass(frozen=True)
class VideoCopying:
    """Makes the copy of one video. copies: those that are known, by their sources."""

    datasets: tuple[Dataset, Dataset]
    root: str
    folder: Path
    options: Options
    tool: Tool | None
    copies: dict[str, Copy]

    def things(self) -> Sequence[Sample]:
        """Return a sample of each video."""
        return in_files(self.datasets)

    def name(self, sample: Sample, /) -> str:
        """Return the name of the copy of a video."""
        ending = ENDING if self.options.format == "pack" else ".mp4"
        return str(Path(self._name(sample)).with_suffix(ending))

    def __call__(self, sample: Sample, /) -> Outcome:
        """Make the copy of a video, or keep the one that is there."""
        name, dataset = self._name(sample), self.datasets[sample.subset]
        assert isinstance(dataset, ClipDataset)
        target = self.folder / self.name(sample)
        if not is_below(name):
            return self.failed(sample, f"it is not below {self.root}, the data set's folder")
        try:
            make_folder(target.parent)  # in any case: its name may be that of a class
            with dataset.file_of(sample.index) as file:
                place = dataset.clips[sample.index].path
                known, source = self.copies.get(name), _source(file, name, place)
                if target.exists() and target.samefile(file):
                    return self.failed(sample, f"{target}, where its copy would be, leads to it")
                if known and (kept := self._kept(known, source, file)):
                    return Outcome(name, State.KEPT, kept)
                original = _Original(dataset, sample.index, file, self.tool)
                return Outcome(name, State.MADE, self._made(original, source, target))
        except BrokenVideo as error:
            return self.failed(sample, error.reason)
        except CannotCode as error:
            return self.failed(sample, str(error))
        except OSError as error:
            if error.errno in FULL:
                raise
            return self.failed(sample, f"its copy cannot be written ({error.strerror})")

    def _name(self, sample: Sample) -> str:
        return listed_name(self.datasets[sample.subset].source(sample.index), self.root)

    def failed(self, sample: Sample, reason: str, /) -> Outcome:
        """Return the outcome for a video without a copy."""
        return Outcome(self._name(sample), State.FAILED, reason=reason)

    def _kept(self, known: Copy, source: Source, path: Path) -> Copy | None:
        """Return a known copy with its source as it is now, if the copy is still right."""
        try:
            size = (self.folder / known.name).stat().st_size
        except OSError:
            return None
        if known.options != self.options or size != known.size:
            return None
        if replace(source, sha256=known.source.sha256) != known.source:
            source = replace(source, sha256=_sha256(path))
            return replace(known, source=source) if _same_content(known.source, source) else None
        return known

    def _made(self, original: "_Original", source: Source, target: Path) -> Copy:
        source = replace(source, sha256=_sha256(original.file))
        with in_one_step(target) as scratch:
            count = self._write(original, scratch)
            _look_at(scratch, count, self.options.format)
            if _seen(original.file) != (source.size, source.mtime_ns):
                raise BrokenVideo(original.file, "it changed while it was read")
        size = target.stat().st_size
        return Copy(str(target.relative_to(self.folder)), count, size, source, self.options)

    def _write(self, original: "_Original", scratch: Path) -> int:
        options = self.options
        if options.format == "gop":
            assert self.tool is not None
            small = (shrunk(frame, options.short_side) for frame in original.every_frame())
            return write_video(small, scratch, gop=options.gop, crf=options.crf, tool=self.tool)
        count = original.count()
        some = (
            (number, shrunk(frame, options.short_side))
            for number, frame in original.some(chosen(count, options.frames))
        )
        write_pack(scratch, count, some, options.quality)
        return count


class _Original:
    """A video that is to be copied, read as training reads it; else by the tool."""

    def __init__(self, dataset: ClipDataset, index: int, file: Path, tool: Tool | None) -> None:
        """Raises BrokenVideo for one that is too short, or not readable where there is no tool."""
        self.file, self._tool = file, tool
        self._known: Index | None = None
        self._reason = ""
        try:
            self._known = dataset.known(index)
        except (MissingVideo, ShortVideo, UnreadVideo):  # the tool might count other frames
            raise
        except BrokenVideo as error:
            self._reason = error.reason
            if tool is None:
                raise

    def every_frame(self) -> Iterator[Frame]:
        """Yield the frames in order."""
        if self._known:
            yield from every_frame(self.file, self._known)
            return
        assert self._tool is not None
        try:
            yield from read_otherwise(self.file, self._tool)
        except BrokenVideo as error:
            raise BrokenVideo(self.file, f"{self._reason}; {error.reason}") from error

    def count(self) -> int:
        """Return how many there are."""
        return self._known.frames if self._known else sum(1 for _ in self.every_frame())

    def some(self, numbers: list[int]) -> Iterator[tuple[int, Frame]]:
        """Yield frames by ascending numbers, each with its own."""
        if self._known and self._known.way is not Way.IN_ORDER:
            for first in range(0, len(numbers), AT_ONCE):
                part = numbers[first : first + AT_ONCE]
                yield from zip(part, frames(self.file, self._known, part), strict=True)
            return
        wanted = set(numbers)
        yield from (pair for pair in enumerate(self.every_frame()) if pair[0] in wanted)


def _source(file: Path, name: str, place: Place) -> Source:
    """Return what is seen of a file at once; its content is not read. Raises BrokenVideo.

    file: the one at a place, or a copy of it.
    """
    size, mtime_ns = _seen(file)
    if isinstance(place, Elsewhere):  # the copy is as old as any other one
        return Source(name, size, 0, "", place.identity())
    return Source(name, size, mtime_ns, "")


def _seen(file: Path) -> tuple[int, int]:
    try:
        known = refuse_irregular(file)
    except FileNotFoundError as error:
        raise MissingVideo(file, "no such file") from error
    except OSError as error:
        raise BrokenVideo(file, f"cannot be read ({error.strerror})") from error
    return known.st_size, known.st_mtime_ns


def _same_content(one: Source, other: Source) -> bool:
    return (one.size, one.sha256) == (other.size, other.sha256)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BrokenVideo(path, f"cannot be read ({error.strerror})") from error


def _read_pack(scratch: Path, numbers: list[int]) -> None:
    try:
        read_pictures(scratch, numbers)
    except DamagedPack as error:
        raise CannotCode(str(error)) from error


def _look_at(scratch: Path, count: int, form: str) -> None:
    """See that a copy has as many frames as its original, and ends. Raises CannotCode."""
    if form == "pack":
        pack = read_head(scratch)
        kept = chosen(pack.frames, len(pack.entries))
        for first in range(0, len(kept), AT_ONCE):
            _read_pack(scratch, [0, *kept[first : first + AT_ONCE]])
        found = pack.frames
    else:
        index = probe(scratch)
        frames(scratch, index, [0, index.frames - 1])
        found = index.frames if index.way is Way.SLICES else 0
    if found != count:
        raise CannotCode(f"its copy has {found} frames, not {count}")
