"""The job of one trial: the search's job with some settings laid over it, checked as any other."""

from copy import deepcopy
from pathlib import Path

from orchestrator.errors import JobFileError
from orchestrator.job.merge import Merged, nested
from orchestrator.job.source import Source, Values
from orchestrator.job.space import Settings
from orchestrator.job.uri import masked
from orchestrator.job.whole import LoadedJob, whole_job


def load_trial(values: Values, settings: Settings, called: str, seed: int) -> LoadedJob:
    """Load the job of a trial, which has no search of its own.

    values: the search's job, `Job.as_dict`. settings: laid over them; a component that they rename
    keeps none of the other's own settings. called: what messages use instead of a file's name.
    seed: in place of the job's. Raises JobFileError with every mistake; secrets in URIs are masked.
    """
    own = deepcopy({key: value for key, value in values.items() if key != "search"})
    merged = Merged()
    merged.lay_over(Source(called, Path.cwd(), own | {"seed": seed}))
    merged.lay_over(Source(called, Path.cwd(), _in_sections(settings)))
    try:
        return whole_job(merged, [], called)
    except JobFileError as error:
        raise JobFileError([masked(line) for line in error.mistakes]) from None


def _in_sections(settings: Settings) -> Values:
    merged = Merged()
    for key, value in settings.items():
        merged.lay_over(Source("", Path.cwd(), nested(key, deepcopy(value))))
    return merged.values
