"""Lay the sources of a job over one another, weakest first, remembering where values came from."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.job.paths import absolute
from orchestrator.job.source import Keys, Source, Values, parse_value, read_file

LONGEST = 80
"""How many characters of an override a message repeats."""
DEEPEST = 20
"""How many files may extend one another in a chain."""
DOTTED: dict[Keys, int] = {("quantizer", "assignment"): 1, ("search", "space"): 0}
"""Sections whose keys have dots, of layers or of a job, and how many plain keys come before."""


@dataclass
class Merged:
    """The values of a job and, for each leaf, the source that gave it."""

    values: Values = field(default_factory=dict)
    sources: dict[Keys, Source] = field(default_factory=dict)
    layers: list[Source] = field(default_factory=list)

    def lay_over(self, source: Source) -> None:
        """Let a stronger source override: mappings key by key, everything else whole."""
        self.layers.append(source)
        self._lay(source.values, self.values, (), source)

    def where(self, keys: Keys) -> str:
        """Return "file:line" (or "--set") of the value at `keys`, or of its nearest section.

        A section's place is that of the strongest source of anything in it.
        """
        inside = [key for key in self.sources if key[: len(keys)] == keys]
        source = self.sources[max(inside, key=self.rank)] if inside else self.source_of(keys)
        return source.where(keys) if source else ""

    def rank(self, keys: Keys) -> int:
        """Return how strong a value's source is: its place among the layers."""
        source = self.sources[keys]
        return next(place for place, layer in enumerate(self.layers) if layer is source)

    def is_weaker(self, keys: Keys, than: Keys) -> bool:
        """Return whether a value comes from a weaker source than another; `--set` is one source."""
        if self.sources[keys].name == self.sources[than].name == "--set":
            return False
        return self.rank(keys) < self.rank(than)

    def source_of(self, keys: Keys) -> Source | None:
        """Return the source of the value at `keys`, or of its nearest section."""
        for end in range(len(keys), 0, -1):
            if keys[:end] in self.sources:
                return self.sources[keys[:end]]
        return None

    def drop(self, keys: Keys) -> None:
        """Remove a value, or a section with all that is in it."""
        section = self.values
        for key in keys[:-1]:
            section = section[key]
        del section[keys[-1]]
        self._forget(keys)

    def _lay(self, new: Values, old: Values, keys: Keys, source: Source) -> None:
        for raw_key, value in new.items():
            key = str(raw_key)
            here = (*keys, key)
            if isinstance(value, dict):
                if not isinstance(old.get(key), dict):
                    old[key] = {}
                self.sources.setdefault(here, source)
                self._lay(value, old[key], here, source)
            else:
                self._forget(here)
                old[key] = value
                self.sources[here] = source

    def _forget(self, keys: Keys) -> None:
        """Remove the sources of a value, or of a section and all that is in it."""
        for known in [known for known in self.sources if known[: len(keys)] == keys]:
            del self.sources[known]


class Copy(NamedTuple):
    """A copy of a job file that is elsewhere. called: what messages name, its own address.

    Relative paths in it start at the current folder, as those of `--set` do.
    """

    path: Path
    called: str


def file_chain(file: Path | Copy) -> tuple[list[Source], list[str], bool]:
    """Return a job file and all it extends, weakest first, the mistakes, and whether all exist.

    While a file that it extends is missing, nothing can be said about what a job lacks.
    """
    mistakes: list[str] = []
    chain: list[Source] = []
    complete = _follow(file, (), chain, mistakes)
    return chain, mistakes, complete


def _follow(
    file: Path | Copy, above: tuple[Path, ...], chain: list[Source], mistakes: list[str]
) -> bool:
    """Add a file after all it extends; return whether all of them could be read.

    A file that two others extend is added once, below both.
    """
    path, shown = file if isinstance(file, Copy) else (file, _shown(file))
    if any(source.name == shown for source in chain):
        return True
    source, found = read_file(path, shown)
    mistakes += found
    if source is None:
        return False
    if isinstance(file, Copy):
        source = replace(source, folder=Path.cwd())
    above = (*above, path.resolve())
    if len(above) > DEEPEST:
        mistakes.append(f"{source.where(('extends',))}  extends: more than {DEEPEST} files deep.")
        return False
    parents, problems = _parents(source, above)
    mistakes += problems
    complete = [_follow(parent, above, chain, mistakes) for parent in parents]
    chain.append(source)
    return all(complete) and not problems


def _parents(source: Source, above: tuple[Path, ...]) -> tuple[list[Path], list[str]]:
    """Return the files that a file extends, and the problems with the others."""
    where = source.where(("extends",))
    given = source.values.pop("extends", [])
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        problem = f"expected a file name or a list of them, got {given!r}."
        return [], [f"{where}  extends: {problem}"]
    parents, problems = [], []
    for name in names:
        path, problem = absolute(name, source.folder)
        parent = Path(path)
        if not problem and parent.resolve() in above:
            problem = f"{parent.name} extends itself."
        elif not problem and not parent.exists():
            problem = f"there is no file {parent}."
        if problem:
            problems.append(f"{where}  extends: {problem}")
        else:
            parents.append(parent)
    return parents, problems


def override(text: str) -> tuple[Source | None, list[str]]:
    """Read one `--set a.b=c`."""
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not all(re.fullmatch(r"[\w-]+", part) for part in key.split(".")):
        return None, [f"--set {text[:LONGEST]}: expected KEY=VALUE, for example training.epochs=3."]
    try:
        values = nested(key, parse_value(value))
    except ValueError as error:
        return None, [f"--set {key}: {error}; text is put in quotes inside the shell's."]
    return Source("--set", Path.cwd(), values), []


def nested(dotted: str, value: Any) -> Values:
    """Return a value in the sections of its dotted key."""
    for part in reversed(parts_of(dotted)):
        value = {part: value}
    found: Values = value
    return found


def parts_of(dotted: str) -> Keys:
    """Return the parts of a dotted key: of `a.b.c` a, b and c."""
    keys = tuple(dotted.split("."))
    for section, names in DOTTED.items():
        above = len(section) + names
        if keys[: len(section)] == section and len(keys) > above:
            return (*keys[:above], ".".join(keys[above:]))
    return keys


def _shown(path: Path) -> str:
    """Return the path as a person would type it in the current folder."""
    resolved, here = path.resolve(), Path.cwd()
    return str(resolved.relative_to(here)) if resolved.is_relative_to(here) else str(path)
