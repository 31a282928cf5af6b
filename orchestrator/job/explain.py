"""Turn pydantic's errors into lines a person can act on: where, what, what was expected."""

from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from orchestrator.job.merge import Merged
from orchestrator.job.source import Keys
from orchestrator.job.words import suggestion


def explain(error: ValidationError, merged: Merged, kind: type[BaseModel], shown: str) -> list[str]:
    """Return a line for each mistake: "file:line  key: what is wrong and what was expected"."""
    lines: list[str] = []
    for details in error.errors(include_url=False):
        keys, _ = _place(details["loc"], kind)
        where = merged.where(keys) or shown
        line = f"{where}  {'.'.join(keys) or 'job'}: {_what(details, kind)}"
        if line not in lines:
            lines.append(line)
    return lines


LONGEST = 80
"""How many characters of a value a message repeats."""

_EXPECTED = {
    "path_type": "expected a path",
    "model_type": "expected keys and values",
    "model_attributes_type": "expected keys and values",
    "dict_type": "expected keys and values",
    "tuple_type": "expected a list, such as [8, 4]",
    "int_type": "expected a whole number",
    "int_parsing": "expected a whole number",
    "float_type": "expected a number",
    "bool_type": "expected true or false",
    "string_pattern_mismatch": "expected letters, digits and . _ - (at most 80)",
}
"""By pydantic's type of error."""


def shown_value(value: Any) -> str:
    """Return a value as a job file writes it, truncated when it is long."""
    text = {True: "true", False: "false"}.get(value, "") if isinstance(value, bool) else ""
    text = text or repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _what(details: ErrorDetails, kind: type[BaseModel]) -> str:
    given, context = shown_value(details["input"]), details.get("ctx", {})
    if details["type"] in _EXPECTED:
        return f"{_EXPECTED[details['type']]}, got {given}."
    match details["type"]:
        case "extra_forbidden":
            return "unknown key." + _meant(str(details["loc"][-1]), _section_of(details, kind))
        case "missing" if isinstance(details["loc"][-1], int):
            return "expected one more value in the list."
        case "missing":
            return "is required and has no default; add it."
        case "union_tag_invalid" | "union_tag_not_found":
            return _unnamed(details, kind)
        case "literal_error":
            return f"expected {context['expected']}, got {given}."
        case "string_type" if isinstance(details["input"], int | float):
            return f"expected text, got {given}; write it in quotes."
        case "string_type":
            return f"expected text, got {given}."
        case "value_error":
            return _sentence(str(context["error"]))
        case _:
            return f"{_sentence(details['msg'])[:-1]}, got {given}."


def _sentence(text: str) -> str:
    text = text.removeprefix("Value error, ")
    text = text[0].lower() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."


def _unnamed(details: ErrorDetails, kind: type[BaseModel]) -> str:
    """Return what is wrong with the name that tells which kind of section it is."""
    keys, kinds = _place(details["loc"], kind)
    known = [name for one in kinds for name in _names(one)]
    if details["type"] == "union_tag_not_found":
        return f"name is required; one of: {', '.join(known)}."
    given = details["ctx"]["tag"]
    return f"no {keys[-1]} is called '{given}'.{suggestion(given, known)}"


def _place(loc: Sequence[int | str], kind: Any) -> tuple[Keys, tuple[Any, ...]]:
    """Return the keys of pydantic's place in a job, and the kinds of what may stand there.

    Pydantic adds the name of a section of several kinds to the place of what is in it.
    """
    keys: list[str] = []
    kinds: tuple[Any, ...] = (kind,)
    for part in map(str, loc):
        named = tuple(one for one in kinds if part in _names(one))
        if len(kinds) > 1 and named:
            kinds = named
        elif part != "[key]":
            keys.append(part)
            kinds = _below(kinds[0], part)
    return tuple(keys), kinds


def _below(kind: Any, part: str) -> tuple[Any, ...]:
    """Return the kinds of what may stand at a key of a section or of a mapping."""
    if get_origin(kind) is dict:
        return (get_args(kind)[1],)
    fields: Mapping[str, FieldInfo] = getattr(kind, "model_fields", {})
    annotation = fields[part].annotation if part in fields else None
    if get_origin(annotation) not in (Union, UnionType):
        return (annotation,)
    return tuple(one for one in get_args(annotation) if one is not type(None))


def _names(kind: Any) -> tuple[str, ...]:
    """Return the names by which a section is known to be of a kind."""
    fields: Mapping[str, FieldInfo] = getattr(kind, "model_fields", {})
    return get_args(fields["name"].annotation) if "name" in fields else ()


def _section_of(details: ErrorDetails, kind: type[BaseModel]) -> type[BaseModel]:
    """Return the section in which an unknown key was found."""
    section: type[BaseModel] = _place(details["loc"][:-1], kind)[1][0]
    return section


def _meant(key: str, section: type[BaseModel]) -> str:
    """Suggest a known key for an unknown one; for the name of a field, its key in a job file."""
    field = section.model_fields.get(key)
    return suggestion(field.alias if field and field.alias else key, keys_of(section))


def unknown_key(keys: Keys, kind: type[BaseModel]) -> str:
    """Return that a section has no such key, and what may be meant; nothing if it may have it.

    What is below a value of any keys is not looked at.
    """
    section: Any = kind
    for key in keys:
        if not isinstance(section, type) or not issubclass(section, BaseModel):
            return ""
        if key not in keys_of(section):
            return "unknown key." + _meant(key, section)
        section, *others = _below(section, key)
        if others:
            return ""
    return ""


def keys_of(settings: type[BaseModel]) -> list[str]:
    """Return the keys that a section has in a job file: aliases, else names."""
    return [field.alias or name for name, field in settings.model_fields.items()]
