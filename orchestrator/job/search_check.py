"""Mistakes in the search of a job: keys that no trial can change, and trials without end."""

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from itertools import islice

from orchestrator.job.axis_check import axis_mistakes
from orchestrator.job.comparison import EPOCHS, comparison_mistakes, of_one_length
from orchestrator.job.explain import unknown_key
from orchestrator.job.families import FAMILIES
from orchestrator.job.merge import parts_of
from orchestrator.job.phases import gives
from orchestrator.job.schema import Job
from orchestrator.job.search import MOST_TRIALS, Search, fixed, flat
from orchestrator.job.search_values import SPACE
from orchestrator.job.source import Keys
from orchestrator.job.space import Axis, combinations

_SAME = "is the same in all trials and cannot be searched"
_TOO_MANY = f"has more than {MOST_TRIALS} combinations; list fewer values."
REFUSED = {
    "name": _SAME,
    "output": _SAME,
    "tracking": _SAME,
    "checkpoint": _SAME,
    "reference": _SAME,
    "search": "cannot be searched itself",
    "phases": "cannot be searched; give a key that the phases leave to the job",
    "seed": "cannot be searched; search.seeds trains each trial with several",
}
"""Sections and keys that have no axis, and why."""


def search_mistakes(job: Job, search: Search) -> Iterator[tuple[Keys, str]]:
    """Yield the place and the problem of each mistake in the search of a job."""
    own = flat(job.as_dict())
    for key, axis in search.space.items():
        place = (*SPACE, key)
        if unknown := _unknown(key, job, search):
            yield place, unknown
            continue
        yield from ((place, problem) for problem in _refused(key, job, search))
        for below, problem in axis_mistakes(key, axis, search.space, own):
            yield (*place, *below), problem
    if job.cluster.is_elastic:
        yield ("cluster", "num_workers"), "the trials of a search have a fixed number; give one."
    yield from _counts(job, search)
    yield from _parts(search)
    yield from comparison_mistakes(job, search)


def search_warnings(search: Search) -> list[str]:
    """Return a line for each setting of a search that is without effect."""
    return [
        f"search.space.{key}.prior: no effect, all values of a grid are tried."
        for key, axis in search.space.items()
        if axis.grid is not None and axis.prior is not None
    ]


def _unknown(key: str, job: Job, search: Search) -> str:
    """Return that the job of no trial has a key, which costs no corner; else nothing."""
    parts = parts_of(key)
    for family in FAMILIES:
        if parts[: len(family)] == family and ".".join((*family, "name")) in search.space:
            return ""  # The corners know it: another component may have the key.
    return unknown_key(parts, type(job))


def _refused(key: str, job: Job, search: Search) -> Iterator[str]:
    """Yield why a key cannot have an axis."""
    section = key.partition(".")[0]
    if section in REFUSED:
        yield f"{section} {REFUSED[section]}."
    if key == EPOCHS and search.scheduler.name != "none":
        yield of_one_length(search)
    if job.phases and all(gives(phase, parts_of(key)) for phase in job.phases):
        yield "no effect, every phase sets it."
    for other in search.space:
        if key.startswith(f"{other}."):
            yield f"is a part of {other}, which is searched as well; keep one of them."


def _counts(job: Job, search: Search) -> Iterator[tuple[Keys, str]]:
    """Yield what is wrong with the numbers of trials and seeds."""
    if job.seed + search.seeds > 2**31:
        problem = f"the job's seed is {job.seed}; the last would be 2**31 or above."
        yield ("search", "seeds"), problem
    if search.searcher.name == "grid":
        yield from _grid(job, search)
        return
    if _combinations({k: a for k, a in search.space.items() if a.grid}, job, search) > MOST_TRIALS:
        yield SPACE, _TOO_MANY
    if search.trials is None:
        problem = f"is required; '{search.searcher.name}' has no end of its own, as a grid has."
        yield ("search", "trials"), problem


def _grid(job: Job, search: Search) -> Iterator[tuple[Keys, str]]:
    ranges = [key for key, axis in search.space.items() if axis.values is None]
    for key in ranges:
        yield (*SPACE, key), "the searcher 'grid' tries listed values; give some: {grid: [0, 1]}."
    if ranges:
        return
    count = _combinations(search.space, job, search)
    if count > MOST_TRIALS and search.trials is None:
        yield SPACE, _TOO_MANY
    if search.trials is not None and search.trials > count:
        yield ("search", "trials"), f"the grid has {count} combinations, got {search.trials}."


def _combinations(space: Mapping[str, Axis], job: Job, search: Search) -> int:
    """Return how many combinations axes of listed values have, counted to one too many."""
    every = combinations(space, fixed(search, job.as_dict()), lambda axis: axis.values or ())
    return sum(1 for _ in islice(every, MOST_TRIALS + 1))


def _parts(search: Search) -> Iterator[tuple[Keys, str]]:
    """Yield which scheduler or searcher is not to be had."""
    if search.scheduler.name == "pbt":
        problem = "'pbt' is not built yet; one of: asha, median, none."
        yield ("search", "scheduler", "name"), problem
    if search.searcher.name == "optuna" and find_spec("optuna") is None:
        problem = "optuna is not installed here; pip install 'orch[search]' brings it."
        yield ("search", "searcher", "name"), problem
