"""Where the job file is that a command names."""

from typing import TYPE_CHECKING

from orchestrator.errors import JobFileError
from orchestrator.job.paths import file_or_object, in_bucket

if TYPE_CHECKING:
    from orchestrator.job.merge import Copy


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
