"""Turn pydantic's errors into lines a person can act on: where, what, what was expected."""

from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from orchestrator.job.merge import Merged
from orchestrator.job.words import suggestion


def explain(error: ValidationError, merged: Merged, kind: type[BaseModel], shown: str) -> list[str]:
    """Return a line for each mistake: "file:line  key: what is wrong and what was expected"."""
    lines: list[str] = []
    for details in error.errors(include_url=False):
        keys = tuple(str(part) for part in details["loc"] if part != "[key]")
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
        case "missing":
            return "is required and has no default; add it."
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


def _section(annotation: Any) -> Any:
    """Return the model of an optional section, such as `Reference | None`."""
    return next((arg for arg in get_args(annotation) if arg is not type(None)), annotation)


def _section_of(details: ErrorDetails, kind: type[BaseModel]) -> type[BaseModel]:
    """Return the section in which an unknown key was found."""
    section: Any = kind
    for part in details["loc"][:-1]:
        section = _section(section.model_fields[str(part)].annotation)
    found: type[BaseModel] = section
    return found


def _meant(key: str, section: type[BaseModel]) -> str:
    """Suggest a known key for an unknown one; for the name of a field, its key in a job file."""
    field = section.model_fields.get(key)
    return suggestion(field.alias if field and field.alias else key, keys_of(section))


def keys_of(settings: type[BaseModel]) -> list[str]:
    """Return the keys that a section has in a job file: aliases, else names."""
    return [field.alias or name for name, field in settings.model_fields.items()]
