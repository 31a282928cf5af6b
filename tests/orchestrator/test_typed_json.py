"""Dataclasses as JSON, and back from any content of a file."""

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

import pytest

from orchestrator.typed_json import made_of, plain


class Color(StrEnum):
    RED = "red"


class Row(NamedTuple):
    name: str
    value: float
    note: str | None = None


@dataclass(frozen=True)
class Inner:
    number: int


@dataclass(frozen=True)
class Outer:
    name: str
    color: Color
    inner: Inner | None
    rows: tuple[Row, ...] = ()
    values: dict[str, float | None] = field(default_factory=dict)
    anything: dict[str, Any] = field(default_factory=dict)
    yes: bool = False


WHOLE = Outer(
    "a",
    Color.RED,
    Inner(3),
    (Row("x", 1.5), Row("y", 2.0, "n")),
    {"b": None, "a": 1.0},
    {"deep": [1, {"x": None}]},
    True,
)


def test_what_was_made_plain_comes_back_the_same() -> None:
    values = json.loads(json.dumps(plain(WHOLE)))
    assert values["rows"][0] == {"name": "x", "value": 1.5, "note": None}
    assert made_of(Outer, values) == WHOLE
    assert list(made_of(Outer, values).values) == ["b", "a"]


def test_defaults_stand_for_what_is_not_there_and_unknown_keys_are_passed_over() -> None:
    made = made_of(Outer, {"name": "a", "color": "red", "inner": None, "shade": 7})
    assert made == Outer("a", Color.RED, None)


def test_a_whole_number_is_a_float_and_what_is_made_already_stays() -> None:
    assert made_of(Row, {"name": "x", "value": 1}).value == 1
    values = {"name": "a", "color": Color.RED, "inner": WHOLE.inner, "rows": WHOLE.rows}
    assert made_of(Outer, values).rows is not None
    assert made_of(Outer, values).inner is WHOLE.inner


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 3}, "its 'name' is '3'"),
        ({"color": "blue"}, "blue"),
        ({"inner": {"number": True}}, "its 'number' is 'True'"),
        ({"inner": {}}, "it has no 'number'"),
        ({"inner": 7}, "does not hold a JSON object"),
        ({"rows": 7}, "its 'rows' is '7'"),
        ({"rows": [{"name": "x"}]}, "it has no 'value'"),
        ({"values": {"a": "b"}}, "its 'values' is 'b'"),
        ({"values": []}, r"its 'values' is '\[\]'"),
        ({"yes": 1}, "its 'yes' is '1'"),
    ],
)
def test_a_value_of_another_kind_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made_of(Outer, plain(WHOLE) | change)


@pytest.mark.parametrize("values", [None, 3, "x", [1]])
def test_no_object_makes_nothing(values: Any) -> None:
    with pytest.raises(ValueError, match="does not hold a JSON object"):
        made_of(Outer, values)
