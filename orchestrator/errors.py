"""The errors a user can meet, each with the exit code of the command line.

OrchError (1)
|-- JobFailed (1)            the job ran and did not succeed
|   |-- DataError            too many broken samples, or none that can be read
|   `-- Diverged             a loss stopped being a finite number
|-- UsageError (2)           the command, a file or a setting is wrong
|   |-- JobFileError         mistakes of a job file, all at once
|   |-- MissingData          a data set is not where the job looks for it
|   |-- CheckpointMismatch   a checkpoint of another job or network
|   |-- UnknownJob           no job, or several, go by that name
|   `-- Refused              the tracking server answers, and does not accept the record
|       `-- RecordGone       the record of a run, or its experiment, no longer exists
`-- Unreachable (3)          the cluster, the tracking server or the store does not answer
    `-- MaybeSubmitted       the cluster went away before it said whether it has the job
"""

from collections.abc import Sequence
from typing import ClassVar


class OrchError(Exception):
    """Anything a user can cause or fix. The message says where, what, and what to do next."""

    exit_code: ClassVar[int] = 1


class JobFailed(OrchError):
    """The job ran and did not succeed."""


class DataError(JobFailed):
    """Too many samples of a data set are broken."""


class Diverged(JobFailed):
    """A loss is no longer a finite number."""


class UsageError(OrchError):
    """The command, a file or a setting is wrong."""

    exit_code: ClassVar[int] = 2


class JobFileError(UsageError):
    """All mistakes of one or more job files, each on its own line."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = list(mistakes)


class MissingData(UsageError):
    """A data set is not where the job looks for it."""


class CheckpointMismatch(UsageError):
    """A checkpoint that belongs to another job or another network."""


class UnknownJob(UsageError):
    """No job, or more than one, goes by the given name."""


class AlreadySubmitted(UsageError):
    """The cluster has a job of this id that somebody else submitted."""


class Refused(UsageError):
    """The tracking server or its database answers, and does not accept the record."""


class RecordGone(Refused):
    """The record of a run, or the experiment it is in, was deleted or never existed."""


class Unreachable(OrchError):
    """The cluster, the tracking server or the store does not answer."""

    exit_code: ClassVar[int] = 3


class MaybeSubmitted(Unreachable):
    """The cluster went away before it said whether it has a job; its record stays."""
