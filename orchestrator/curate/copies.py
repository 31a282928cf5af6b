"""Copies of a job's data that decode quickly: `orch data prepare`.

A copy takes its name in one step, when it is whole and has been looked at. So whatever ends the
command, run again it makes the copies that are not there yet, and ends with the same files.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from orchestrator.curate import manifest, ours
from orchestrator.curate.check import CRASHED, SUBSETS, Told
from orchestrator.curate.image_shards import ImageCopying
from orchestrator.curate.manifest import Copy, Options
from orchestrator.curate.outcome import Copying, Outcome, Report, State
from orchestrator.curate.pool import Hands, Lost
from orchestrator.curate.video_copies import VideoCopying
from orchestrator.data import Dataset
from orchestrator.data.imagenet import ImageNet
from orchestrator.errors import MissingData, UsageError
from orchestrator.files import make_folder, write_whole
from orchestrator.job.paths import in_bucket
from orchestrator.job.resolve import FILE_IN_ROOT, FOLDER_IN_ROOT
from orchestrator.job.schema import Job
from orchestrator.prepare.datasets import missing, open_datasets, remarks, root_of
from video.anywhere import Place
from video.class_folders import seen
from video.clips import ClipDataset
from video.recode import find_tool

LISTS = frozenset({".txt", ".csv", ".json"})
"""Endings of files in a data set's folders that are copied as they are."""
SHARDS = "shards"
"""The format of copies of images; those of videos have others."""
NO_TOOL = (
    "Copies in the format gop are coded by PyAV or by the program ffmpeg, and neither is here: "
    "pip install 'orch[prepare]', or --format pack, which needs none."
)


def prepare(
    job: Job, folder: Path, options: Options, *, hands: Hands, tell: Told, remove: bool = False
) -> Report:
    """Make the copies of a job's videos or images that are not in a folder yet; say what there is.

    remove: also remove copies of videos that are not in the job; shards always are removed.
    Raises UsageError for a format that does not suit the data, a folder that does not fit or holds
    files of another origin, or without a tool; MissingData for data on which a job is refused: on
    the copies it might not be.
    """
    datasets = open_datasets(job)
    if problems := missing(_whatever_is_absent(job)):
        raise MissingData("\n".join(problems))
    _check_suits(job, datasets, options)
    root = str(job.data.root)
    _check_apart(job, folder)
    try:
        make_folder(folder)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made ({error.strerror}): name another one.") from None
    with manifest.at_work_in(folder):
        copies = manifest.read_manifest(folder)
        _check_format(folder, copies, options)
        work = _copying(datasets, root, folder, options, dict(copies))
        things = work.things()
        names = {name for name in map(work.name, things) if ours.is_below(name)}
        ours.check_places(folder, names, datasets)
        lists = _lists(job, folder)
        others = ours.others(folder, copies, names)
        if others and not remove and options.format != SHARDS:
            raise _not_of_the_job(folder, others)
        ours.begin(folder, names)
        manifest.write_manifest(folder, copies)
        for source, target in lists:
            make_folder(target.parent)
            write_whole(target, source.read_bytes())
        outcomes = _made(work, things, folder, copies, hands, tell)
        if options.format == SHARDS:  # what was in a shard may now be in the next one
            others += [o.source for o in outcomes if o.state is State.FAILED and o.source in copies]
        ours.remove(folder, copies, others, names)
        ours.end(folder)
        outcomes += work.lost_classes() if isinstance(work, ImageCopying) else []
    return Report(str(folder), tuple(outcomes), tuple(others), tuple(remarks(*datasets)))


def _whatever_is_absent(job: Job) -> Job:
    """Return the same job for which any share of its videos may be absent: copies have them not."""
    if not hasattr(job.data, "max_broken_share"):
        return job
    return job.model_copy(update={"data": job.data.model_copy(update={"max_broken_share": 1.0})})


def _check_apart(job: Job, folder: Path) -> None:
    """Raise UsageError where copies would be among the originals, whose next job would see them."""
    root = str(job.data.root)
    if in_bucket(root):
        return
    there = folder.resolve()
    if there == Path(root).resolve():
        raise UsageError(f"{folder} is the folder of the originals; name another one.")
    for name in _folders_of_samples(job):
        if not in_bucket(name) and there.is_relative_to((Path(root) / name).resolve()):
            raise UsageError(
                f"{folder} is in {Path(root) / name}, which has originals: a job on them would "
                "take the copies for more of them. Name another folder."
            )


def _folders_of_samples(job: Job) -> Sequence[str]:
    """Return the folders in which a data set looks for samples, relative to its root."""
    fields = type(job.data).model_fields.items()
    named = [name for name, field in fields if field.json_schema_extra == FOLDER_IN_ROOT]
    return [given for name in named if (given := getattr(job.data, name))] or SUBSETS


def _made(
    work: Copying,
    things: Sequence[Any],
    folder: Path,
    copies: dict[str, Copy],
    hands: Hands,
    tell: Told,
) -> list[Outcome]:
    """Make copies, and note each in the manifest; return what became of the things."""
    outcomes: dict[int, Outcome] = {}
    made_of = {copy.name: source for source, copy in copies.items()}
    for number, result in hands(work, things):
        if isinstance(result, Lost):
            result = work.failed(things[number], CRASHED)
        outcomes[number] = result
        if result.copy and copies.get(result.source) != result.copy:
            _check_shared(folder, result.copy)
            copies.pop(made_of.get(result.copy.name, ""), None)  # an original of another ending
            copies[result.source] = result.copy
            manifest.add_to_manifest(folder, result.copy)
        tell(len(outcomes), len(things))
    return [outcomes[number] for number in sorted(outcomes)]


def _not_of_the_job(folder: Path, others: Sequence[str]) -> UsageError:
    return UsageError(
        f"{folder} has {len(others)} copies of videos that are not in the job, for instance "
        f"{others[0]}; they would be samples of a job on the copies. Remove them with "
        "--remove-others, or name another folder."
    )


def _check_suits(job: Job, datasets: tuple[Dataset, Dataset], options: Options) -> None:
    """Raise UsageError when copies of these data cannot have the format."""
    if options.format == SHARDS:
        if not all(isinstance(dataset, ImageNet) for dataset in datasets):
            raise UsageError(
                f"--format {SHARDS} copies images in files, as those of ImageNet; "
                f"'{job.data.name}' has none."
            )
    elif not all(isinstance(dataset, ClipDataset) for dataset in datasets):
        raise UsageError(
            f"--format {options.format} copies videos; '{job.data.name}' holds none. Images in "
            f"files are copied with --format {SHARDS}."
        )
    elif options.format == "gop" and find_tool() is None:
        raise UsageError(NO_TOOL)


def _copying(
    datasets: tuple[Dataset, Dataset],
    root: str,
    folder: Path,
    options: Options,
    copies: dict[str, Copy],
) -> Copying:
    if options.format == SHARDS:
        images = cast("tuple[ImageNet, ImageNet]", datasets)
        return ImageCopying(images, root, folder, options, copies)
    return VideoCopying(datasets, root, folder, options, find_tool(), copies)


def _check_shared(folder: Path, copy: Copy) -> None:
    """Raise UsageError where a copy that another node has made is not seen here."""
    if not (folder / copy.name).exists():
        raise UsageError(
            f"{folder / copy.name} was made on another node and is not seen here: the folder of "
            "the copies has to be one that all nodes of the cluster share."
        )


def _check_format(folder: Path, copies: dict[str, Copy], options: Options) -> None:
    others = {copy.options.format for copy in copies.values()} - {options.format}
    if others:
        raise UsageError(
            f"{folder} holds copies in the format {others.pop()}; name another folder."
        )


def _lists(job: Job, folder: Path) -> list[tuple[Place, Path]]:
    """Return the annotations and lists below the root, and where they go.

    The folder can be a root itself with them. Raises UsageError where something else is there.
    """
    found = list(_lists_of(job, folder))
    ours.check_places(folder, {str(target.relative_to(folder)) for _, target in found}, ())
    if not (folder / manifest.NAME).exists():
        for source, target in found:
            if target.exists() and target.read_bytes() != source.read_bytes():
                raise UsageError(
                    f"{target} is there, and `orch data prepare` has not made it: it is not "
                    "replaced. Name another folder."
                )
    return found


def _lists_of(job: Job, folder: Path) -> Iterator[tuple[Place, Path]]:
    root = root_of(job)
    for name, field in type(job.data).model_fields.items():
        given, mark = getattr(job.data, name), field.json_schema_extra
        if not given or mark not in (FILE_IN_ROOT, FOLDER_IN_ROOT) or not ours.is_below(given):
            continue
        if mark == FILE_IN_ROOT and (root / given).is_file():
            yield root / given, folder / given
        if mark == FOLDER_IN_ROOT and (root / given).is_dir():
            for entry in seen(root / given):
                if entry.suffix.lower() in LISTS and entry.is_file():
                    yield entry, folder / given / entry.name
