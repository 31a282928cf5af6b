"""Read and write YAML by the core schema of YAML 1.2, with the place of every value.

PyYAML follows YAML 1.1, in which 0042 is 34, 1:30 is 90 and `no` is false.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import yaml

from orchestrator.typed_json import Values as Values

Keys = tuple[str, ...]

MOST_BYTES = 64 * 1024
MOST_VALUES = 1000
DEEPEST = 30
"""Limits; a job has about a hundred values, four levels deep."""

_TAG = "tag:yaml.org,2002:"
_CORE = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+0123456789.",
    ),
)
"""YAML 1.2.2, section 10.3.2: kind, form, first characters."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


class _Refused(yaml.MarkedYAMLError):
    """YAML that is well formed but has no use in a job."""


class _Loader(yaml.SafeLoader):
    """YAML of the core schema, no deeper or larger than the limits."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 - PyYAML's own attribute
    yaml_constructors: ClassVar[dict[Any, Any]] = {}

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._count = 0
        self._sizes: dict[str | None, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose one node. The values behind an alias count each time it is used."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in self.anchors and event.anchor not in self._sizes:
                raise _refusal("a value contains itself", event)
            self._count += self._sizes.get(event.anchor, 0)
        before, anchor = self._count, event.anchor
        self._count += 1
        self._depth += 1
        if self._depth > DEEPEST:
            raise _refusal(f"nested more than {DEEPEST} levels deep", event)
        if self._count > MOST_VALUES:
            raise _refusal(f"more than {MOST_VALUES} values", event)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if anchor and not isinstance(event, yaml.AliasEvent):
            self._sizes[anchor] = self._count - before
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping whose keys are text, exactly as written."""
        pairs = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _refusal("a key is text, not a list or a mapping", key)
            if key.value == "<<" and not key.style:
                raise _refusal("`<<` is not part of YAML 1.2; use `extends`", key)
            pairs[self.construct_yaml_str(key)] = self.construct_object(value, deep=deep)
        return pairs

    def construct_yaml_int(self, node: Any) -> int:
        """Return a whole number in base 10, 8 (0o17) or 16 (0x1f)."""
        text = self.construct_scalar(node)
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        try:
            return int(text[2:] if base != 10 else text, base)
        except ValueError:
            raise _refusal(f"{text[:20]} is not a whole number, or far too large", node) from None

    def construct_yaml_float(self, node: Any) -> float:
        """Return a number; YAML puts a dot before inf and nan."""
        text = self.construct_scalar(node)
        try:
            return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))
        except ValueError:
            raise _refusal(f"{text[:20]} is not a number", node) from None

    def construct_yaml_str(self, node: Any) -> str:
        """Return text that can be printed, sent and used in a path."""
        text = str(self.construct_scalar(node))
        if _CONTROL.search(text):
            raise _refusal("a text holds a control character", node)
        return text

    def refuse_tag(self, node: Any) -> None:
        """Refuse what a job file has no use for: dates, sets, Python's objects."""
        raise _refusal(f"the tag {node.tag} means nothing in a job", node)


class _Dumper(yaml.SafeDumper):
    """Quotes text that YAML 1.1 or 1.2 would read as something else."""


for _kind, _form, _first in _CORE:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_TAG + _kind, re.compile(rf"^(?:{_form})$"), list(_first))
for _kind in ("bool", "null", "int", "float", "str", "seq", "map"):
    _Loader.add_constructor(_TAG + _kind, getattr(_Loader, f"construct_yaml_{_kind}"))
_Loader.add_constructor(None, _Loader.refuse_tag)


@dataclass(frozen=True)
class Source:
    """The values of one source (a file, or one --set) and the line of each key."""

    name: str
    folder: Path
    values: Values
    lines: dict[Keys, int] = field(default_factory=dict)

    def where(self, keys: Keys) -> str:
        """Return "file:line" of a key, or of the nearest section above it."""
        for end in range(len(keys), 0, -1):
            if keys[:end] in self.lines:
                return f"{self.name}:{self.lines[keys[:end]]}"
        return self.name


def dump(values: Any, *, one_line: bool = False) -> str:
    """Return values as YAML that means the same in YAML 1.1 and 1.2."""
    style = '"' if isinstance(values, str) and "\n" in values else None
    text: str = yaml.dump(
        values,
        Dumper=_Dumper,
        default_flow_style=one_line,
        default_style=style,
        sort_keys=False,
        allow_unicode=True,
        width=10**6,
    )
    return text.removesuffix("\n").removesuffix("\n...") if one_line else text


def parse_value(text: str) -> Any:
    """Read one value from the command line: in brackets or quotes as YAML, otherwise as one scalar.

    Raises ValueError with the reason.
    """
    text = text.strip(" \t\n")
    try:
        loader = _Loader(text)
        if not text.startswith(("[", "{", '"', "'")):
            tag = loader.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
            return loader.construct_object(yaml.ScalarNode(tag, text))
        node = loader.get_single_node()
        assert node is not None
        if node.end_mark.index < len(text):
            raise ValueError(f"something follows the closing {text[node.end_mark.index - 1]}")
        if mistakes := _collect(node, (), {}, "line "):
            raise ValueError(mistakes[0].removeprefix("line :1  "))
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ValueError(_problem(error)) from None


def read_file(path: Path, shown: str) -> tuple[Source | None, list[str]]:
    """Read a job file. Returns the source, or None, and the mistakes found."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        text = content.decode("utf-8-sig")
    except OSError as error:
        return None, [f"{shown}: cannot be read ({error.strerror})."]
    except UnicodeDecodeError:
        return None, [f"{shown}: is not UTF-8 text; a job file is YAML."]
    if len(content) > MOST_BYTES:
        return None, [f"{shown}: is larger than {MOST_BYTES // 1024} KiB, which no job file is."]
    lines: dict[Keys, int] = {}
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            return None, [f"{shown}: expected keys and values, such as 'name: my_job'."]
        values = loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{shown}:{mark.line + 1}" if mark else shown
        return None, [f"{where}  {_problem(error)}."]
    mistakes = _collect(node, (), lines, shown)
    return Source(shown, path.parent, values, lines), mistakes


def _collect(node: yaml.Node, keys: Keys, lines: dict[Keys, int], shown: str) -> list[str]:
    """Record the line of every key below `node`; return a mistake for each key given twice."""
    mistakes: list[str] = []
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            place = (*keys, str(number))
            if isinstance(item, yaml.MappingNode):
                lines[place] = item.start_mark.line + 1
            mistakes += _collect(item, place, lines, shown)
    if not isinstance(node, yaml.MappingNode):
        return mistakes
    for key_node, value_node in node.value:
        child = (*keys, str(key_node.value))
        line = key_node.start_mark.line + 1
        if child in lines:
            mistakes.append(
                f"{shown}:{line}  {_named(child)}: given twice (first on line {lines[child]}); "
                "keep one."
            )
            continue
        lines[child] = line
        mistakes += _collect(value_node, child, lines, shown)
    return mistakes


def _named(keys: Keys) -> str:
    """Return a place as messages name it: `training.epochs`, `phase 1, training.epochs`."""
    if keys[0] == "phases" and len(keys) > 2 and keys[1].isdecimal():
        return f"phase {int(keys[1]) + 1}, {'.'.join(keys[2:])}"
    return ".".join(keys)


def _refusal(problem: str, place: Any) -> _Refused:
    return _Refused(problem=problem, problem_mark=place.start_mark)


def _problem(error: yaml.YAMLError) -> str:
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or error
    return str(problem) if isinstance(error, _Refused) else f"not valid YAML: {problem}"
