"""What keeps the trials of a search from being compared: a metric that they do not have."""

from collections.abc import Container, Iterator

from orchestrator.data import metric_of
from orchestrator.job.schema import Job
from orchestrator.job.search import Search
from orchestrator.job.source import Keys
from orchestrator.job.words import suggestion
from orchestrator.published import published_rows

SUMMARIES = ("delta_b", "mean", "worst")
"""Metrics over all operating points."""

_INSTEAD = "set search.metric=mean, or reference.runs to individual runs of your own"


EPOCHS = "training.epochs"


def of_one_length(search: Search) -> str:
    """Return that the scheduler of a search cannot compare runs of several lengths."""
    return f"'{search.scheduler.name}' compares runs of one length; set search.scheduler.name=none."


def comparison_mistakes(job: Job, search: Search) -> Iterator[tuple[Keys, str]]:
    """Yield what is wrong with comparing a job, the search's own or a trial's, with others."""
    if not job.method.trains:
        problem = (
            f"'{job.method.name}' trains nothing, so nothing is to be found; leave `search` out."
        )
        yield ("method", "name"), problem
        return
    if problem := _metric(job, search):
        yield ("search", "metric"), problem
    grace = getattr(search.scheduler, "grace", 1)
    if grace > job.epochs:
        problem = f"a run has {job.epochs} epochs, and the scheduler waits for {grace}."
        yield ("search", "scheduler", "grace"), problem


def _metric(job: Job, search: Search) -> str:
    """Return why trials have no value to compare, or nothing."""
    if search.metric == "delta_b":
        return _delta_b(job, search)
    last = _names(job.phase_jobs()[-1])
    if search.metric not in (*SUMMARIES, *last):
        unknown = f"no metric and no point of the last epoch is called '{search.metric}'."
        return unknown + suggestion(search.metric, [*SUMMARIES, *last])
    if search.metric in last and not all(
        search.metric in _names(phase) for phase in _compared_phases(job, search)
    ):
        return f"'{search.scheduler.name}' needs {search.metric} in every phase; not all train it."
    return ""


def _compared_phases(job: Job, search: Search) -> tuple[Job, ...]:
    """Return the phases after whose epochs trials are compared: the last, or all."""
    phases = job.phase_jobs()
    return phases[-1:] if search.scheduler.name == "none" else phases


def _names(job: Job) -> list[str]:
    return [point.name for point in job.points]


def _delta_b(job: Job, search: Search) -> str:
    """Return why there is no Delta_B of a job, or nothing."""
    if job.reference is None:
        return f"delta_b compares with individual runs, and the job names none; {_INSTEAD}."
    if job.reference.runs is not None:
        return _lacking(job, search, _names_compared(job), "reference.runs")
    name = str(job.reference.published)
    row = published_rows().get(name)
    if row is None:
        return ""  # A mistake of its own.
    if row.metric != metric_of(job.data):
        unlike = f"'{name}' has {row.metric}, this job {metric_of(job.data)}"
        return f"delta_b cannot compare with the reference: {unlike}; {_INSTEAD}."
    return _lacking(job, search, row.values, f"'{name}'")


def _names_compared(job: Job) -> list[str]:
    return [point.name for point in job.compared]


def _lacking(job: Job, search: Search, known: Container[str], whose: str) -> str:
    needed = (name for phase in _compared_phases(job, search) for name in _names(phase))
    lacking = [name for name in dict.fromkeys(needed) if name not in known]
    if not lacking:
        return ""
    return f"{whose} has no result at {', '.join(lacking)} for delta_b; {_INSTEAD}."
