"""Copies of a job's videos that decode quickly: `orch data prepare`.

A copy takes its name in one step, when it is whole and has been looked at. So whatever ends the
command, run again it makes the copies that are not there yet, and ends with the same files.
"""

import hashlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from orchestrator.data import Dataset
from orchestrator.errors import UsageError
from orchestrator.files import make_folder, sync_folder, write_whole
from orchestrator.job.paths import in_bucket
from orchestrator.job.resolve import FILE_IN_ROOT, FOLDER_IN_ROOT
from orchestrator.job.schema import Job
from orchestrator.prepare import manifest
from orchestrator.prepare.data_check import CRASHED, Sample, Told, in_files
from orchestrator.prepare.datasets import open_datasets, root_of
from orchestrator.prepare.manifest import Copy, Options, Source
from orchestrator.prepare.pool import Lost, sensible, side_by_side
from video import BrokenVideo, MissingVideo, ShortVideo
from video.anywhere import Place
from video.class_folders import seen
from video.clips import ClipDataset
from video.decode import Frame, every_frame, frames, probe
from video.exclude import listed_name
from video.index import Index, Way
from video.pack import ENDING, chosen, read_head, write_pack
from video.recode import CannotCode, Tool, find_tool, read_otherwise, shrunk, write_video

LISTS = frozenset({".txt", ".csv", ".json"})
"""Endings of files in a data set's folders that are copied as they are."""
AT_ONCE = 8
"""Frames of a video that are in memory together."""
NO_TOOL = (
    "Copies in the format gop are coded by PyAV or by the program ffmpeg, and neither is here: "
    "pip install 'orch[prepare]', or --format pack, which needs none."
)


class State(StrEnum):
    """What became of a copy."""

    MADE = "made"
    KEPT = "kept"
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """A source, and its copy; reason: why there is none. read: bytes of the source."""

    source: str
    state: State
    copy: Copy | None = None
    reason: str = ""


@dataclass(frozen=True)
class Report:
    """All outcomes, in the order of the data sets. folder: data.root of a job on the copies."""

    folder: str
    outcomes: list[Outcome]

    @property
    def failed(self) -> list[Outcome]:
        """The videos without a copy."""
        return [one for one in self.outcomes if one.state is State.FAILED]

    @property
    def counts(self) -> dict[str, int]:
        """How many videos there are of each state."""
        return {state.value: sum(one.state is state for one in self.outcomes) for state in State}

    @property
    def bytes(self) -> tuple[int, int]:
        """Those of the sources that have copies, and of the copies."""
        copies = [one.copy for one in self.outcomes if one.copy]
        return sum(one.source.size for one in copies), sum(one.size for one in copies)


def prepare(
    job: Job, folder: Path, options: Options, *, processes: int | None, tell: Told
) -> Report:
    """Make the copies of a job's videos that are not in a folder yet, and say what there is.

    Raises UsageError for a job on images, a folder that does not fit, or without a tool.
    """
    datasets, tool = open_datasets(job), find_tool()
    if not all(isinstance(dataset, ClipDataset) for dataset in datasets):
        raise UsageError(f"`orch data prepare` copies videos; '{job.data.name}' holds none.")
    if options.format == "gop" and tool is None:
        raise UsageError(NO_TOOL)
    root = str(job.data.root)
    if not in_bucket(root) and folder.resolve() == Path(root).resolve():
        raise UsageError(f"{folder} is the folder of the originals; name another one.")
    samples = in_files(datasets)
    make_folder(folder)
    with manifest.at_work_in(folder):
        copies = manifest.read_manifest(folder)
        _check_format(folder, copies, options)
        manifest.write_manifest(folder, copies)
        _copy_lists(job, folder)
        work = _Copying(datasets, root, folder, options, tool, dict(copies))
        outcomes: dict[int, Outcome] = {}
        processes = processes or sensible(len(samples))
        for number, result in side_by_side(work, samples, processes):
            if isinstance(result, Lost):
                result = work.failed(samples[number], CRASHED)
            outcomes[number] = result
            if result.copy and copies.get(result.source) != result.copy:
                copies[result.source] = result.copy
                manifest.add_to_manifest(folder, result.copy)
            tell(len(outcomes), len(samples))
        manifest.write_manifest(folder, copies)
    return Report(str(folder), [outcomes[number] for number in sorted(outcomes)])


def _check_format(folder: Path, copies: dict[str, Copy], options: Options) -> None:
    others = {copy.options.format for copy in copies.values()} - {options.format}
    if others:
        raise UsageError(
            f"{folder} holds copies in the format {others.pop()}; name another folder."
        )


def _copy_lists(job: Job, folder: Path) -> None:
    """Copy annotations and other lists below the root, so that the folder can be a root itself."""
    root = root_of(job)
    for name, field in type(job.data).model_fields.items():
        given, mark = getattr(job.data, name), field.json_schema_extra
        if not given or mark not in (FILE_IN_ROOT, FOLDER_IN_ROOT):
            continue
        if in_bucket(given) or Path(given).is_absolute():
            continue
        if mark == FILE_IN_ROOT and (root / given).is_file():
            _copy(root / given, folder / given)
        if mark == FOLDER_IN_ROOT and (root / given).is_dir():
            for entry in seen(root / given):
                if entry.suffix.lower() in LISTS and entry.is_file():
                    _copy(entry, folder / given / entry.name)


def _copy(source: Place, target: Path) -> None:
    make_folder(target.parent)
    write_whole(target, source.read_bytes())


@dataclass(frozen=True)
class _Copying:
    """Makes the copy of one sample. copies: those that are known, by their sources."""

    datasets: tuple[Dataset, Dataset]
    root: str
    folder: Path
    options: Options
    tool: Tool | None
    copies: dict[str, Copy]

    def __call__(self, sample: Sample) -> Outcome:
        name, dataset = self._name(sample), self.datasets[sample.subset]
        assert isinstance(dataset, ClipDataset)
        if in_bucket(name) or Path(name).is_absolute():
            return self.failed(sample, f"it is not below {self.root}, the data set's folder")
        make_folder((self.folder / name).parent)  # in any case: its name may be that of a class
        try:
            with dataset.file_of(sample.index) as file:
                known, source = self.copies.get(name), _source(file, name)
                if known and (kept := self._kept(known, source, file)):
                    return Outcome(name, State.KEPT, kept)
                original = _Original(dataset, sample.index, file, self.tool)
                return Outcome(name, State.MADE, self._made(original, source))
        except BrokenVideo as error:
            return self.failed(sample, error.reason)
        except CannotCode as error:
            return self.failed(sample, str(error))

    def _name(self, sample: Sample) -> str:
        return listed_name(self.datasets[sample.subset].source(sample.index), self.root)

    def failed(self, sample: Sample, reason: str) -> Outcome:
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

    def _made(self, original: "_Original", source: Source) -> Copy:
        source = replace(source, sha256=_sha256(original.file))
        name = str(
            Path(source.name).with_suffix(ENDING if self.options.format == "pack" else ".mp4")
        )
        target = self.folder / name
        scratch = target.with_name(f".{target.name}.{secrets.token_hex(4)}{manifest.SCRATCH}")
        try:
            count = self._write(original, scratch)
            _look_at(scratch, count, self.options.format)
            if _source(original.file, source.name) != replace(source, sha256=""):
                raise BrokenVideo(original.file, "it changed while it was read")
            size = _on_disk(scratch)
            scratch.replace(target)
        finally:
            scratch.unlink(missing_ok=True)
        sync_folder(target.parent)
        return Copy(name, count, size, source, self.options)

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
        except (MissingVideo, ShortVideo):
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


def _source(path: Path, name: str) -> Source:
    """Return what is seen of a file at once; its content is not read. Raises BrokenVideo."""
    try:
        known = path.stat()
    except FileNotFoundError as error:
        raise MissingVideo(path, "no such file") from error
    except OSError as error:
        raise BrokenVideo(path, f"cannot be read ({error.strerror})") from error
    return Source(name, known.st_size, known.st_mtime_ns, "")


def _same_content(one: Source, other: Source) -> bool:
    return (one.size, one.sha256) == (other.size, other.sha256)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BrokenVideo(path, f"cannot be read ({error.strerror})") from error


def _look_at(scratch: Path, count: int, form: str) -> None:
    """See that a copy has as many frames as its original, and ends. Raises CannotCode."""
    if form == "pack":
        found = read_head(scratch).frames
    else:
        index = probe(scratch)
        frames(scratch, index, [0, index.frames - 1])
        found = index.frames if index.way is Way.SLICES else 0
    if found != count:
        raise CannotCode(f"its copy has {found} frames, not {count}")


def _on_disk(file: Path) -> int:
    """Bring a file to the disk; return its size."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        return os.fstat(opened.fileno()).st_size
