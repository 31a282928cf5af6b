"""The space of a search: one axis for each searched key of a job."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field, model_validator

from orchestrator.job.source import Values

KINDS = ("choice", "grid", "uniform", "loguniform")

Settings = Values
"""A value for each searched key, by dotted key; only the keys of axes that exist."""


class Prior(BaseModel, frozen=True, extra="forbid"):
    """What is known before a search: a good value, and how far from it others are worth a try."""

    value: Any = Field(None, description="else the job's own value of the key")
    width: float = Field(
        gt=0,
        description="one standard deviation: in the key's unit, as a factor for loguniform; for "
        "choice the share of the other values together",
    )


class Axis(BaseModel, frozen=True, extra="forbid"):
    """The values of one searched key, of exactly one kind.

    Every axis maps the unit interval [0, 1) onto its values, so that searchers know no kinds.
    """

    choice: tuple[Any, ...] | None = Field(None, min_length=1, description="any of these values")
    grid: tuple[Any, ...] | None = Field(None, min_length=1, description="each of these in turn")
    uniform: tuple[float, float] | None = Field(None, description="[lowest, highest]")
    loguniform: tuple[float, float] | None = Field(
        None, description="[lowest, highest], uniform in the logarithm"
    )
    step: float | None = Field(None, gt=0, description="only lowest + k step; in the key's unit")
    prior: Prior | None = None
    when: Values = Field({}, description="other key -> value or values with which the axis exists")

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> "Axis":
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(KINDS)}")
        if self.values is None:
            lowest, highest = self.bounds
            if not lowest < highest:
                raise ValueError(f"the lowest value must be below the highest, got {given[0]} "
                                 f"[{lowest:g}, {highest:g}]")  # fmt: skip
            if self.loguniform and lowest <= 0:
                raise ValueError(f"loguniform needs a lowest value above 0, got {lowest:g}")
        elif self.step is not None:
            raise ValueError("step belongs to uniform and loguniform")
        return self

    @property
    def values(self) -> tuple[Any, ...] | None:
        """The listed values; None for a range."""
        return self.grid if self.choice is None else self.choice

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest value of a range."""
        bounds = self.uniform or self.loguniform
        assert bounds is not None
        return bounds

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values that a check has to try: all listed ones, or both ends of a range."""
        return self.values if self.values is not None else (self.value(0.0), self.value(1.0))

    def value(self, unit: float) -> Any:
        """Return the value at a place in [0, 1]."""
        if self.values is not None:
            return self.values[_part(unit, len(self.values))]
        if self.uniform and self.step is not None:
            return self._stepped(self.bounds[0] + _part(unit, self._steps + 1) * self.step)
        lowest, highest = map(self._scale, self.bounds)
        found = lowest + unit * (highest - lowest)
        return self._stepped(math.exp(found) if self.loguniform else found)

    def unit(self, value: Any) -> float:
        """Return the place of a value, in [0, 1].

        Listed values, and the steps of a uniform axis, have equal parts: it is the middle of one.

        Raises ValueError for a value that the axis does not have.
        """
        if self.values is not None:
            return (self.values.index(value) + 0.5) / len(self.values)
        lowest, highest = self.bounds
        if not lowest <= value <= highest:
            raise ValueError(f"{value!r} is not in [{lowest:g}, {highest:g}]")
        if self.uniform and self.step is not None:
            number: int = min(round((value - lowest) / self.step), self._steps)
            return (number + 0.5) / (self._steps + 1)
        low, high = self._scale(lowest), self._scale(highest)
        return (self._scale(value) - low) / (high - low)

    def share(self, width: float) -> float:
        """Return which share of [0, 1] a width on a range is.

        width: in the key's unit; a factor on a loguniform axis.
        """
        lowest, highest = self.bounds
        if self.loguniform:
            return math.log(width) / math.log(highest / lowest)
        last_part = self.step or 0.0  # the highest value has a part of its own
        return width / (highest - lowest + last_part)

    def exists(self, settings: Mapping[str, Any]) -> bool:
        """Return whether the axis exists beside these values of other keys, fixed ones included."""
        return all(
            settings.get(key) in (wanted if isinstance(wanted, list) else [wanted])
            for key, wanted in self.when.items()
        )

    @property
    def _steps(self) -> int:
        """How many steps lead from the lowest to the highest value."""
        assert self.step is not None
        lowest, highest = self.bounds
        return math.floor((highest - lowest) / self.step + 1e-9)

    def _scale(self, value: float) -> float:
        return math.log(value) if self.loguniform else value

    def _stepped(self, value: float) -> float | int:
        lowest, highest = self.bounds
        if self.step is None:
            return min(max(value, lowest), highest)
        count = min(round((value - lowest) / self.step), self._steps)
        found = float(f"{lowest + count * self.step:.12g}")
        whole = self.step.is_integer() and lowest.is_integer()
        return int(found) if whole else found


def _part(unit: float, parts: int) -> int:
    """Return which of so many equal parts of [0, 1] a place is in."""
    return min(int(unit * parts), parts - 1)


def combinations(
    space: Mapping[str, Axis],
    fixed: Mapping[str, Any],
    values: Callable[[Axis], Sequence[Any]],
) -> Iterator[Settings]:
    """Yield each combination of some values of the axes; axes exist or not as `when` says.

    The last axis changes fastest. fixed: the job's values that conditions refer to. values: those
    of an axis that are combined, such as its ends.
    """
    yield from _combined(list(space.items()), fixed, values, {})


def _combined(
    axes: Sequence[tuple[str, Axis]],
    fixed: Mapping[str, Any],
    values: Callable[[Axis], Sequence[Any]],
    chosen: Settings,
) -> Iterator[Settings]:
    if not axes:
        yield chosen
        return
    (key, axis), *others = axes
    if not axis.exists({**fixed, **chosen}):
        yield from _combined(others, fixed, values, chosen)
        return
    for value in values(axis):
        yield from _combined(others, fixed, values, chosen | {key: value})
