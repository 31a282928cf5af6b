"""The job that a command names: by its file, or by one of its runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import JobFileError
from orchestrator.job.paths import file_or_object, in_bucket

if TYPE_CHECKING:
    from orchestrator.job.merge import Copy
    from orchestrator.job.schema import Job


def here(file: str) -> "str | Copy":
    """Return a file of this machine, or a copy of one in a bucket, such as a search's best job.

    Raises JobFileError where there is none, and StorageTrouble.
    """
    if not in_bucket(file):
        return file
    from orchestrator.job.merge import Copy
    from orchestrator.store.s3_copy import copy_here

    uri, problem = file_or_object(file)
    if problem:
        raise JobFileError([f"{file}: {problem}"])
    try:
        return Copy(copy_here(uri), uri)
    except FileNotFoundError as error:
        raise JobFileError([f"{file}: {error.strerror}."]) from error


def job_of(name: str, overrides: Sequence[str]) -> "Job":
    """Return the job of a file, or of a run, with some settings changed."""
    from orchestrator.job.load import load_job, load_values
    from orchestrator.runs import registry, trials

    if name.endswith((".yaml", ".yml")) or Path(name).is_file():
        return load_job(here(name), list(overrides)).job
    return load_values(trials.job_of(registry.find(name)), name, list(overrides)).job
