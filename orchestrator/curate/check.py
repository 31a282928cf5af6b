"""What is wrong with the files of a data set, found before a run finds it: `orch data check`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from orchestrator.curate.pool import Hands, Lost
from orchestrator.data import Dataset
from orchestrator.data.images import BrokenImage
from orchestrator.errors import UsageError
from orchestrator.files import write_whole
from orchestrator.job.paths import in_bucket
from orchestrator.job.schema import Job
from orchestrator.prepare.datasets import missing, open_datasets, remarks
from video import BrokenVideo, MissingVideo, ShortVideo
from video.clips import ClipDataset
from video.exclude import Exclusion, listed_name
from video.index import Way

SUBSETS = ("train", "val")
WORTH_A_PROCESS = 64
"""How many files take about as long as the start of a process does."""
Told = Callable[[int, int], object]
"""Is called with how many files were looked at, and how many there are."""


class Kind(StrEnum):
    """What is wrong with a file. in_order: nothing is, but its frames must be counted through."""

    MISSING = "missing"
    BROKEN = "broken"
    SHORT = "short"
    IN_ORDER = "in order"


IN_ORDER = "a jump would end at another frame, so all frames before the wanted ones are decoded"
CRASHED = "the process that read it ended: its decoder crashes, or memory is short"


@dataclass(frozen=True)
class Finding:
    """A file with which something is wrong. name: as a job can leave it out."""

    subset: str
    name: str
    kind: Kind
    reason: str


@dataclass(frozen=True)
class Report:
    """What was looked at, and what was found, in the order of the data sets.

    left_out: the names in the job's data.exclude, sorted. remarks: what is odd about the data sets.
    problems: for what a job on them is refused.
    """

    samples: int
    findings: tuple[Finding, ...]
    left_out: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def unusable(self) -> list[Finding]:
        """The files of which no sample can be had."""
        return [one for one in self.findings if one.kind is not Kind.IN_ORDER]

    @property
    def counts(self) -> dict[str, int]:
        """How many findings there are of each kind."""
        return {kind.value: sum(one.kind is kind for one in self.findings) for kind in Kind}


@dataclass(frozen=True)
class Sample:
    """A sample of the training set (0) or the evaluation set (1)."""

    subset: int
    index: int


def check(job: Job, *, hands: Hands, every: bool, tell: Told) -> Report:
    """Read some frames of each video of a job, or each image, and say what is wrong with them.

    every: all frames of a video. Raises MissingData, DataError or StorageTrouble where no data set
    can be opened.
    """
    datasets = open_datasets(job)
    look = _Look(datasets, str(job.data.root) if hasattr(job.data, "root") else None, every)
    samples = in_files(datasets)
    found: dict[int, Finding] = {}
    results = hands(look, samples, WORTH_A_PROCESS)
    for done, (number, result) in enumerate(results, start=1):
        if isinstance(result, Lost):
            result = look.finding(samples[number], Kind.BROKEN, CRASHED)
        if result:
            found[number] = result
        tell(done, len(samples))
    excluded: Exclusion = getattr(datasets[0], "exclusion", Exclusion())
    return Report(
        samples=sum(map(len, datasets)),
        findings=tuple(found[number] for number in sorted(found)),
        left_out=tuple(sorted(excluded.names)),
        remarks=tuple(remarks(*datasets)),
        problems=tuple(missing(job)),
    )


def in_files(datasets: Sequence[Dataset]) -> list[Sample]:
    """Return the samples that have a file each, every file once; others are read when opened."""
    files: dict[str, Sample] = {}
    for subset, dataset in enumerate(datasets):
        for index in range(len(dataset)):
            source = dataset.source(index)
            if in_bucket(source) or Path(source).is_absolute():
                files.setdefault(source, Sample(subset, index))
    return list(files.values())


def write_list(file: Path, report: Report) -> None:
    """Write the names of files of which no sample can be had, for the setting data.exclude.

    Those that the job leaves out already come first: the list may take the place of its own one.
    Raises UsageError when a name or the file cannot be written.
    """
    names = list(dict.fromkeys([*report.left_out, *(one.name for one in report.unusable)]))
    if odd := [name for name in names if "\n" in name or name != name.strip("\r")]:
        raise UsageError(f"{odd[0]!r} cannot be in a list of one name in each line: rename it.")
    lines = "".join(f"{name}\n" for name in names)
    write_whole(file, lines.encode("utf-8", "surrogateescape"))


@dataclass(frozen=True)
class _Look:
    """Looks at one sample."""

    datasets: tuple[Dataset, Dataset]
    root: str | None
    every: bool

    def __call__(self, sample: Sample) -> Finding | None:
        try:
            way = self._read(self.datasets[sample.subset], sample.index)
        except MissingVideo as error:
            return self.finding(sample, Kind.MISSING, error.reason)
        except ShortVideo as error:
            return self.finding(sample, Kind.SHORT, error.reason)
        except (BrokenVideo, BrokenImage) as error:
            return self.finding(sample, Kind.BROKEN, error.reason)
        return self.finding(sample, Kind.IN_ORDER, IN_ORDER) if way is Way.IN_ORDER else None

    def _read(self, dataset: Dataset, index: int) -> Way | None:
        if isinstance(dataset, ClipDataset):
            return dataset.examine(index, every=self.every).way
        dataset.load(index, None)
        return None

    def finding(self, sample: Sample, kind: Kind, reason: str) -> Finding:
        source = self.datasets[sample.subset].source(sample.index)
        return Finding(SUBSETS[sample.subset], listed_name(source, self.root), kind, reason)
