"""Frozen dataclasses and named tuples as plain JSON values, and back with checks.

What is read may be from another version: unknown keys are skipped, a value of the wrong type is a
ValueError. (Importing pydantic would cost `orch list` as much as all of its work.)
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")

Values = dict[str, Any]
"""Values by key, as in JSON and YAML."""


def plain(value: Any) -> Any:
    """Return a value in JSON's form: a dataclass or a named tuple becomes an object."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value.value if isinstance(value, Enum) else value


def made_of(kind: type[T], values: object) -> T:
    """Return a dataclass or a named tuple made from a JSON object.

    Raises ValueError, naming it, for a value that is missing or of another type.
    """
    if not isinstance(values, Mapping):
        raise ValueError("it does not hold a JSON object")
    given = {}
    own: Any = kind  # a type that mypy knows to be hashable
    for name, hint, required in _declared(own):
        if name in values:
            given[name] = _fitted(values[name], hint, name)
        elif required:
            raise ValueError(f"it has no {name!r}; another version may have written it")
    return kind(**given)


@cache
def _declared(kind: Any) -> tuple[tuple[str, Any, bool], ...]:
    """Return the fields of a class: name, declared type, and whether there is no default."""
    hints = get_type_hints(kind)
    if is_dataclass(kind):
        named = {f.name: f.default is f.default_factory is MISSING for f in fields(kind)}
    else:
        named = {name: name not in kind._field_defaults for name in kind._fields}
    return tuple((name, hints[name], required) for name, required in named.items())


def _fitted(value: Any, hint: Any, name: str) -> Any:
    """Return a value converted to its declared type. Raises ValueError when that is impossible."""
    kind = get_origin(hint) or hint
    if kind is UnionType:
        return _one_of(value, get_args(hint), name)
    if hint is Any or (isinstance(kind, type) and type(value) is kind and not get_args(hint)):
        return value
    if kind is tuple and isinstance(value, list | tuple):
        return tuple(_fitted(inner, get_args(hint)[0], name) for inner in value)
    if kind is dict and isinstance(value, Mapping):
        inside = get_args(hint)[1]
        return {str(key): _fitted(inner, inside, name) for key, inner in value.items()}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    if is_dataclass(kind) or hasattr(kind, "_fields"):
        return made_of(kind, value)
    if kind is float and type(value) is int:
        return value
    raise ValueError(f"its {name!r} is {str(value)[:40]!r}")


def _one_of(value: Any, hints: tuple[Any, ...], name: str) -> Any:
    """Return a value converted to the first type that fits."""
    if value is None and NoneType in hints:
        return None
    kinds = [hint for hint in hints if hint is not NoneType]
    for kind in kinds[:-1]:
        try:
            return _fitted(value, kind, name)
        except ValueError:
            continue
    return _fitted(value, kinds[-1], name)
