"""Mistakes in one axis of a search: its values, its condition and its prior."""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.job.explain import shown_value
from orchestrator.job.source import Keys, Values
from orchestrator.job.space import Axis
from orchestrator.job.words import nearest

NARROWEST, WIDEST = 1e-6, 1e3
"""Between these shares of its axis the width of a prior means something, and densities are finite.
"""

MOST_STEPS = 10**9


def axis_mistakes(
    key: str, axis: Axis, space: Mapping[str, Axis], own: Values
) -> Iterator[tuple[Keys, str]]:
    """Yield the keys within the axis, if any, and the problem of each mistake.

    own: the job's values by dotted key.
    """
    yield from _values(axis)
    for other, wanted in axis.when.items():
        if problem := _never(key, other, wanted, space, own):
            yield ("when", other), problem
    if axis.prior is not None:
        yield from _prior(key, axis, own)


def _values(axis: Axis) -> Iterator[tuple[Keys, str]]:
    listed = list(axis.values or ())
    again = [value for place, value in enumerate(listed) if value in listed[:place]]
    if again:
        yield (), f"the value {shown_value(again[0])} is listed twice; once is enough."
    if axis.values is None and axis.step is not None:
        lowest, highest = axis.bounds
        if axis.step > highest - lowest:
            yield ("step",), f"{axis.step:g} leaves nothing but {lowest:g} in the range."
        elif axis.step * MOST_STEPS < highest - lowest:
            yield ("step",), f"{axis.step:g} is too small: more than {MOST_STEPS:,} values."


def _never(key: str, other: str, wanted: Any, space: Mapping[str, Axis], own: Values) -> str:
    """Return why a condition on another key is never true, or cannot be decided, or nothing."""
    keys = list(space)
    expected = wanted if isinstance(wanted, list) else [wanted]
    if not expected:
        return f"the list is empty, so the axis never exists; give values of {other}, or one alone."
    if other in space:
        if keys.index(other) >= keys.index(key):
            return f"stands after {key}, or is it; a condition refers to keys before its own."
        values = space[other].values
        if values is None:
            return f"{other} is a range; a condition refers to listed values."
        if not any(value in values for value in expected):
            return f"{other} is never {_listed(expected)}; it is {_listed(values)}."
    elif other not in own:
        meant = nearest(other, own)
        return "the job has no such key." + (f" Did you mean '{meant}'?" if meant else "")
    elif own[other] not in expected:
        return f"{other} is {shown_value(own[other])} and not searched, so the axis never exists."
    return ""


def _prior(key: str, axis: Axis, own: Values) -> Iterator[tuple[Keys, str]]:
    assert axis.prior is not None
    width, given = axis.prior.width, axis.prior.value
    if axis.loguniform and width <= 1:
        yield ("prior", "width"), f"is a factor here, above 1, such as 10; got {width:g}."
    elif axis.values is None and not NARROWEST <= (share := axis.share(width)) <= WIDEST:
        yield ("prior", "width"), _senseless(share, width)
    if axis.values is not None and width >= 1:
        yield ("prior", "width"), f"is the share of all other values here, below 1; got {width:g}."
    value = own.get(key) if given is None else given
    if value is None:
        yield ("prior",), "the job has no value of this key to take; give one: {value: ..., ...}."
    elif problem := _outside(axis, value):
        whose = "the job's own value, {}," if given is None else "{}"
        yield ("prior", "value"), f"{whose.format(shown_value(value))} {problem}."


def _senseless(share: float, width: float) -> str:
    """Return what is wrong with a width that says nothing about its axis."""
    if share < NARROWEST:
        return f"{width!r} leaves one value of the whole axis; give a larger one."
    return f"{width!r} is far wider than the axis and says nothing; leave the prior out."


def _outside(axis: Axis, value: Any) -> str:
    if axis.values is not None:
        return "" if value in axis.values else f"is none of {_listed(axis.values)}"
    lowest, highest = axis.bounds
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and lowest <= value <= highest:
        return ""
    return f"is not in [{lowest:g}, {highest:g}]"


def _listed(values: Any) -> str:
    return " or ".join(map(shown_value, values))
