"""Read YAML together with the place of every value, numbers like 5e-4 as numbers."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Keys = tuple[str, ...]


class _Loader(yaml.SafeLoader):
    """SafeLoader with YAML 1.2 floats: YAML 1.1 reads 5e-4 as text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


@dataclass(frozen=True)
class Source:
    """The values of one place (a file, or one --set) and the line of each key."""

    name: str
    folder: Path
    values: dict[str, Any]
    lines: dict[Keys, int] = field(default_factory=dict)

    def where(self, keys: Keys) -> str:
        """Return "file:line" of a key, or of the nearest section above it."""
        for end in range(len(keys), 0, -1):
            if keys[:end] in self.lines:
                return f"{self.name}:{self.lines[keys[:end]]}"
        return self.name


def parse_scalar(text: str) -> Any:
    """Read one value as YAML does (numbers, true, lists in brackets, else text)."""
    return yaml.load(text, Loader=_Loader)


def read_file(path: Path, shown: str) -> tuple[Source | None, list[str]]:
    """Read a job file. Returns the source, or None, and the mistakes found on the way."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        return None, [f"{shown}: cannot be read ({error.strerror})."]
    except UnicodeDecodeError:
        return None, [f"{shown}: is not UTF-8 text; a job file is YAML."]
    try:
        node = yaml.compose(text, Loader=_Loader)
        values = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError) as error:
        return None, [_syntax_mistake(shown, error)]
    if not isinstance(node, yaml.MappingNode) or not isinstance(values, dict):
        return None, [f"{shown}: expected keys and values, such as 'name: my_job'."]
    lines: dict[Keys, int] = {}
    mistakes = _collect(node, (), lines, shown)
    return Source(shown, path.parent, values, lines), mistakes


def _collect(node: yaml.Node, keys: Keys, lines: dict[Keys, int], shown: str) -> list[str]:
    """Note the line of every key below `node`; return a mistake for each key given twice."""
    mistakes: list[str] = []
    if not isinstance(node, yaml.MappingNode):
        return mistakes
    for key_node, value_node in node.value:
        child = (*keys, str(key_node.value))
        line = key_node.start_mark.line + 1
        if child in lines:
            mistakes.append(
                f"{shown}:{line}  {'.'.join(child)}: given twice (first on line {lines[child]}); "
                "keep one."
            )
        lines[child] = line
        mistakes += _collect(value_node, child, lines, shown)
    return mistakes


def _syntax_mistake(shown: str, error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"{shown}:{mark.line + 1}" if mark else shown
    problem = getattr(error, "problem", None) or str(error)
    return f"{where}  not valid YAML: {problem}."
