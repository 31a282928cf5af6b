"""The corners of a search's space: jobs of its extreme settings, checked before anything starts."""

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import combinations as subsets
from itertools import islice
from operator import attrgetter
from typing import Any, NamedTuple

from orchestrator.errors import JobFileError
from orchestrator.job.comparison import EPOCHS, comparison_mistakes, of_one_length
from orchestrator.job.explain import shown_value
from orchestrator.job.families import FAMILIES
from orchestrator.job.merge import Merged
from orchestrator.job.schema import Job
from orchestrator.job.search import Search, flat
from orchestrator.job.search_values import SPACE
from orchestrator.job.short_names import short_names
from orchestrator.job.source import Values
from orchestrator.job.space import Axis, Settings, combinations
from orchestrator.job.trial import load_trial

MOST = 512
"""Corners of a full product; of a larger space all pairs of ends are tried."""

MOST_LISTED = 8
"""Of an axis with more listed values the pairs take the first and the last."""

FEW = 16
"""Corners that costlier checks combine."""

_CALLED = "corner"

Ends = Callable[[Axis], Sequence[Any]]


def corner_mistakes(job: Job, search: Search, merged: Merged, shown: str) -> list[str]:
    """Return the mistakes of all corners, each named by the smallest corner that has it.

    A corner gives some axes one of their ends, and leaves the others at the job's own values: first
    each end alone, then all axes together, or every two of them if that makes too many.
    """
    corners = _Corners(job, search)
    found: list[_Mistake] = []
    for corner in corners.all():
        for mistake in corners.mistakes(corner):
            if not any(known.covers(mistake) for known in found):
                found.append(corners.smallest(mistake))
    return [_line(mistake, merged, shown) for mistake in found]


def number_of_corners(job: Job, search: Search) -> int:
    """Return how many corners `corner_mistakes` tries of a space without mistakes."""
    return sum(1 for _ in _Corners(job, search).all())


class Corner(NamedTuple):
    """Some settings at the ends of their axes, and the job that they make."""

    settings: Settings
    job: Job


def corner_jobs(job: Job, sections: Collection[str]) -> Iterator[Corner]:
    """Yield the corners of those axes alone that are in some sections, for costlier checks.

    All their ends are combined, or each is taken alone if that makes too many. sections: dotted
    keys, `cluster` or `training.global_batch`. A job without such axes is its own only corner.
    """
    search = job.search
    keys = [key for key in search.space if _is_in(key, sections)] if search else []
    if search is None or not keys:
        yield Corner({}, job)
        return
    corners = _Corners(job, search)
    for corner in corners.few(keys):
        yield Corner(corner, load_trial(corners.values, corner, _CALLED, job.seed).job)


def corner_name(settings: Settings) -> str:
    """Return a corner's name: corner p1=1.2, lambda=0."""
    short = short_names(settings)
    return "corner " + ", ".join(f"{short[key]}={_brief(one)}" for key, one in settings.items())


def _is_in(key: str, sections: Collection[str]) -> bool:
    return any(f"{key}.".startswith(f"{section}.") for section in sections)


class _Mistake(NamedTuple):
    """A mistake of a corner. about: the key that it is about."""

    corner: Settings
    about: str
    problem: str

    def covers(self, other: "_Mistake") -> bool:
        """Return whether another mistake is this one, in a larger corner or at another end."""
        if self.about != other.about:
            return False
        same = self._beside() if self.problem == other.problem else self.corner
        return same.items() <= other.corner.items()

    def _beside(self) -> Settings:
        """Return the settings of all keys but the one that the mistake is about."""
        return {key: value for key, value in self.corner.items() if key != self.about}


class _Corners:
    """The corners of the space of a job's search."""

    def __init__(self, job: Job, search: Search) -> None:
        self.values: Values = job.as_dict()
        self._job, self._search, self._space = job, search, search.space
        self._own = flat(self.values)
        self._fixed = {key: one for key, one in self._own.items() if key not in self._space}

    def all(self) -> Iterator[Settings]:
        """Yield each end alone, then the full product, or every pair."""
        for key in self._space:
            yield from self._with([key])
        product = list(islice(self.of(list(self._space)), MOST + 1))
        if len(product) <= MOST:
            yield from product
        else:
            for pair in subsets(self._space, 2):
                yield from self._with(pair, _outermost)

    def few(self, keys: Sequence[str]) -> Iterator[Settings]:
        """Yield the full product of some axes, or each of their ends alone."""
        product = list(islice(self.of(keys), FEW + 1))
        if len(product) <= FEW:
            yield from product
        else:
            for key in keys:
                yield from self._with([key])

    def of(self, keys: Sequence[str], ends: Ends = attrgetter("ends")) -> Iterator[Settings]:
        """Yield all combinations of the ends of some axes and of those in their conditions."""
        wanted = self._and_conditions(keys)
        space = {key: axis for key, axis in self._space.items() if key in wanted}
        return combinations(space, self._fixed, ends)

    def mistakes(self, corner: Settings) -> Iterator[_Mistake]:
        """Yield the mistakes of a corner."""
        try:
            job = load_trial(self.values, corner, _CALLED, self._job.seed).job
        except JobFileError as error:
            for line in error.mistakes:
                about, _, problem = line.removeprefix(f"{_CALLED}  ").partition(": ")
                yield _Mistake(corner, about, problem + self._advice(corner, about, problem))
            return
        for keys, problem in comparison_mistakes(job, self._search):
            yield _Mistake(corner, ".".join(keys), problem)
        if self._search.scheduler.name != "none" and job.epochs != self._job.epochs:
            yield _Mistake(corner, EPOCHS, of_one_length(self._search))
        now = flat(job.as_dict())
        for key, value in corner.items():
            if isinstance(value, str) and value != now.get(key):
                yield _Mistake(corner, key, f"read as {now.get(key)}; give the whole path.")

    def smallest(self, mistake: _Mistake) -> _Mistake:
        """Return a mistake about the same key in a part of the corner that has no such part."""
        corner = mistake.corner
        for key in corner:
            part = {other: value for other, value in corner.items() if other != key}
            found = self.mistakes(part) if self._is_whole(part) else iter(())
            for smaller in found:
                if smaller.about == mistake.about:
                    return self.smallest(smaller)
        return mistake

    def _advice(self, corner: Settings, about: str, problem: str) -> str:
        """Return what helps when another component than the job's own has no such key."""
        for name in (".".join((*keys, "name")) for keys in FAMILIES):
            own = self._own[name]
            is_other = about.startswith(name.removesuffix("name")) and corner.get(name, own) != own
            if is_other and problem.startswith("unknown key"):
                return f" A condition helps: {{..., when: {{{name}: {own}}}}}."
        return ""

    def _with(self, keys: Sequence[str], ends: Ends = attrgetter("ends")) -> Iterator[Settings]:
        return (corner for corner in self.of(keys, ends) if all(key in corner for key in keys))

    def _and_conditions(self, keys: Sequence[str]) -> set[str]:
        """Return the keys and all other searched ones on which their existence depends."""
        found = set(keys)
        for key in reversed(self._space):
            if key in found:
                found |= self._space[key].when.keys() & self._space.keys()
        return found

    def _is_whole(self, part: Settings) -> bool:
        """Return whether each axis of a part exists, with the job's own values for other keys."""
        settings = {**self._own, **part}
        return all(self._space[key].exists(settings) for key in part)


def _outermost(axis: Axis) -> Sequence[Any]:
    ends = axis.ends
    return ends if len(ends) <= MOST_LISTED else (ends[0], ends[-1])


def _line(mistake: _Mistake, merged: Merged, shown: str) -> str:
    """Return the line of a mistake: at the axis that it is about, else at the corner's first."""
    corner, about, problem = mistake
    key = about if about in corner else next(iter(corner))
    what = problem if about == key else f"{about}: {problem}"
    where = merged.where((*SPACE, key)) or shown
    return f"{where}  search.space.{key}, {corner_name(corner)}: {what}"


def _brief(value: Any) -> str:
    return value if isinstance(value, str) else shown_value(value)
