"""What the data sets of a job hold, in numbers: `orch data stats`."""

import io
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from PIL import Image

from orchestrator.curate.check import SUBSETS, WORTH_A_PROCESS, Sample, Told, in_files
from orchestrator.curate.pool import Hands, Lost
from orchestrator.data import Dataset
from orchestrator.data.image_file import FORMATS, read_content
from orchestrator.data.imagenet import ImageNet
from orchestrator.data.images import BrokenImage
from orchestrator.job.schema import Job
from orchestrator.prepare.datasets import open_datasets
from video import BrokenVideo
from video.clips import ClipDataset
from video.decode import frames


@dataclass(frozen=True)
class Spread:
    """How some numbers are spread."""

    least: float
    median: float
    mean: float
    most: float
    total: float


@dataclass(frozen=True)
class Stats:
    """A set in numbers. What is not known of any sample is None.

    classes: how many samples each has, in the order of their numbers; a video may have several.
    present: how many of the classes have samples. unusable: samples without a size, missing or
    broken. frames: of a video; height, width: of an image or of a video's first frame, in pixels;
    bytes: of a file.
    """

    subset: str
    samples: int
    classes: dict[str, int]
    present: int
    of_a_class: Spread | None
    unusable: int
    frames: Spread | None
    height: Spread | None
    width: Spread | None
    bytes: Spread | None


@dataclass(frozen=True)
class Measured:
    """What a file holds."""

    frames: int | None
    height: int
    width: int
    bytes: int


def stats(job: Job, *, hands: Hands, tell: Told) -> list[Stats]:
    """Return the numbers of the training and the evaluation set of a job.

    Raises MissingData, DataError or StorageTrouble where no data set can be opened.
    """
    datasets = open_datasets(job)
    samples = [one for one in in_files(datasets) if _can_be_measured(datasets[one.subset])]
    found: list[list[Measured | None]] = [[], []]
    work = hands(_Measure(datasets), samples, WORTH_A_PROCESS)
    for done, (number, result) in enumerate(work, start=1):
        found[samples[number].subset].append(None if isinstance(result, Lost) else result)
        tell(done, len(samples))
    named = zip(SUBSETS, datasets, found, strict=True)
    return [_stats(subset, dataset, measured) for subset, dataset, measured in named]


def _can_be_measured(dataset: Dataset) -> bool:
    return isinstance(dataset, ClipDataset | ImageNet)


@dataclass(frozen=True)
class _Measure:
    """Measures one sample; None for one that cannot be."""

    datasets: tuple[Dataset, Dataset]

    def __call__(self, sample: Sample) -> Measured | None:
        dataset = self.datasets[sample.subset]
        try:
            if isinstance(dataset, ClipDataset):
                return _of_video(dataset, sample.index)
            assert isinstance(dataset, ImageNet)
            return _of_image(dataset, sample.index)
        except (BrokenVideo, BrokenImage):
            return None


def _of_video(dataset: ClipDataset, index: int) -> Measured:
    with dataset.at_hand(index) as (file, known):
        _, height, width, _ = frames(file, known, [0]).shape
        return Measured(known.frames, height, width, file.stat().st_size)


def _of_image(dataset: ImageNet, index: int) -> Measured:
    """Raises BrokenImage."""
    source = dataset.source(index)
    content = read_content(lambda: dataset.content(index), source)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:  # decodes nothing
            return Measured(None, image.height, image.width, len(content))
    except Exception as error:  # as where it is decoded
        raise BrokenImage(source, "cannot be decoded") from error


def _stats(subset: str, dataset: Dataset, measured: Sequence[Measured | None]) -> Stats:
    count = Counter(label for index in range(len(dataset)) for label in dataset.targets(index))
    whole = [one for one in measured if one is not None]
    return Stats(
        subset=subset,
        samples=len(dataset),
        classes={name: count[number] for number, name in enumerate(dataset.class_names)},
        present=len(count),
        of_a_class=_spread(count[number] for number in range(dataset.num_classes)),
        unusable=len(measured) - len(whole),
        frames=_spread(one.frames for one in whole if one.frames is not None),
        height=_spread(one.height for one in whole),
        width=_spread(one.width for one in whole),
        bytes=_spread(one.bytes for one in whole),
    )


def _spread(numbers: Iterable[int]) -> Spread | None:
    values = sorted(numbers)
    if not values:
        return None
    middle = statistics.median(values)
    return Spread(values[0], middle, statistics.fmean(values), values[-1], sum(values))
