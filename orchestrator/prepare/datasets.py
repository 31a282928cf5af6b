"""The data sets of a job; where their files are in a bucket, they are handed what reads them there.

A data set knows nothing of buckets: it asks its root for folders and files, as it would a path.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from orchestrator.data import Dataset, missing_data, not_in_any, open_dataset
from orchestrator.errors import DataError, MissingData
from orchestrator.job.paths import in_bucket
from orchestrator.job.resolve import FILE_IN_ROOT, FOLDER_IN_ROOT, ROOT
from orchestrator.job.schema import Job
from orchestrator.store.s3_copy import copy_here
from orchestrator.store.s3_fetch import longest_wait
from orchestrator.store.s3_files import S3Path
from video.anywhere import Place, place_of
from video.class_folders import named
from video.exclude import Exclusion


def missing(job: Job) -> list[str]:
    """Return a message for each thing that the data set of a job lacks. Decodes nothing.

    Raises MissingData for objects that are not there, and StorageTrouble.
    """
    here = _here(job.data)
    return [here.as_given(problem) for problem in missing_data(here.settings)]


def open_datasets(job: Job) -> tuple[Dataset, Dataset]:
    """Return the training and the evaluation set. Raises MissingData, DataError or StorageTrouble.

    The last ones are kept: the trials of a search share their index of the data.
    """
    here = _here(job.data)
    try:
        return _opened(here.settings, job.model.num_segments)
    except (DataError, MissingData) as error:
        raise type(error)(here.as_given(str(error))) from error


def patience(job: Job) -> float:
    """Return how many seconds a reader waits for the bucket of a job's data; 0 without one."""
    return longest_wait() if any(_in_bucket(job.data, ROOT, FOLDER_IN_ROOT)) else 0.0


def root_of(job: Job) -> Place:
    """Return the folder of the data set of a job, wherever it is. Raises StorageTrouble."""
    return place_of(_here(job.data).settings.root)


def remarks(train_set: Dataset, val_set: Dataset) -> list[str]:
    """Return what is odd about the two data sets of a job, and no reason to refuse them."""
    own = [remark for one in (train_set, val_set) for remark in getattr(one, "remarks", ())]
    names = train_set.class_names
    alone = [f"All samples are of one class, {names[0]}."] if len(names) == 1 else []
    lines = [*own, *not_in_any(train_set, val_set), *_without_samples(train_set, val_set), *alone]
    return list(dict.fromkeys(lines))


def _without_samples(train_set: Dataset, val_set: Dataset) -> list[str]:
    """Return a line about classes of which one set has no sample, or neither has."""
    trained, judged = _present(train_set), _present(val_set)
    lacking: dict[str, list[str]] = {}
    for label, name in enumerate(train_set.class_names):
        if label not in trained or label not in judged:
            kind = "validation" if label in trained else "training" if label in judged else ""
            lacking.setdefault(kind, []).append(name)
    excluded = any(getattr(one, "exclusion", Exclusion()).found for one in (train_set, val_set))
    there = "With data.exclude there" if excluded else "There"
    return [
        f"{there} is no {kind} sample of {named(names)}."
        if kind
        else f"{there} is neither a training nor a validation sample of {named(names)}."
        for kind, names in lacking.items()
    ]


def _present(data: Dataset) -> set[int]:
    return {label for index in range(len(data)) for label in data.targets(index)}


@lru_cache(maxsize=1)
def _opened(settings: Any, segments: int | None) -> tuple[Dataset, Dataset]:
    return (
        open_dataset(settings, train=True, num_segments=segments),
        open_dataset(settings, train=False, num_segments=segments),
    )


@dataclass(frozen=True)
class _Here:
    """The settings of a data set with files of this machine alone. given: the URI of each copy."""

    settings: Any
    given: dict[str, str] = field(default_factory=dict)

    def as_given(self, message: str) -> str:
        """Return a message that names what the job names."""
        for copy, uri in self.given.items():
            message = message.replace(copy, uri)
        return message


def _here(settings: Any) -> _Here:
    """Fetch the lists that are in a bucket, and let folders in one be read there.

    Raises MissingData for all that is not there, StorageTrouble.
    """
    folders = {name: S3Path.at(uri) for name, uri in _in_bucket(settings, ROOT, FOLDER_IN_ROOT)}
    copies: dict[str, str] = {}
    problems: list[str] = []
    for name, uri in _in_bucket(settings, FILE_IN_ROOT):
        try:
            copies[name] = str(copy_here(uri))
        except FileNotFoundError as error:
            problems.append(f"{name}: {uri}: {error.strerror}")
    if problems:
        raise MissingData("\n".join(problems))
    if not copies and not folders:
        return _Here(settings)
    given = {copy: getattr(settings, name) for name, copy in copies.items()}
    return _Here(settings.model_copy(update=copies | folders), given)


def _in_bucket(settings: Any, *marks: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the settings with one of some marks that are URIs, and their values."""
    for name, declared in type(settings).model_fields.items():
        if declared.json_schema_extra in marks and in_bucket(uri := str(getattr(settings, name))):
            yield name, uri
