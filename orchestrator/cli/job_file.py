"""Where the job file is that a command names."""

from orchestrator.errors import UsageError
from orchestrator.job.paths import in_bucket


def here(file: str) -> str:
    """Return a file of this machine, or a copy of one in a bucket, such as a search's best job.

    Raises UsageError where there is none, and StorageTrouble.
    """
    if not in_bucket(file):
        return file
    from orchestrator.store.s3_copy import copy_here

    try:
        return str(copy_here(file))
    except FileNotFoundError as error:
        raise UsageError(f"{file}: {error.strerror}.") from error
