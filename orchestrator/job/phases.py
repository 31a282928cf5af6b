"""The phases of a job: which settings a phase may change, and the job in each of them.

A phase has the job's own settings except for those that it gives. One that names another method or
another optimizer inherits none of the settings of the job's own.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path

from orchestrator.job.families import names_in
from orchestrator.job.merge import Merged
from orchestrator.job.source import Keys, Source, Values

PHASES = "phases"

CHANGES: dict[str, tuple[str, ...] | None] = {
    "training": ("epochs",),
    "optimizer": None,
    "method": None,
    "quantizer": ("bit_widths",),
}
"""The sections that a phase may change, and the keys in them; None: all of them."""

ALLOWED = "a phase changes training.epochs, optimizer.*, method.* and quantizer.bit_widths, no more"


def unchangeable(phase: Values) -> Iterator[Keys]:
    """Yield the keys that a phase gives but may not change."""
    for section, values in phase.items():
        if section not in CHANGES:
            yield (section,)
            continue
        known = CHANGES[section]
        if known is not None and isinstance(values, dict):
            yield from ((section, key) for key in values if key not in known)


def in_phase(job: Values, phase: Values) -> Values:
    """Return a job's values in a phase."""
    own = Merged({key: value for key, value in job.items() if key != PHASES})
    return merged_in_phase(own, Source(PHASES, Path.cwd(), phase)).values


def _renamed(job: Values, phase: Values) -> list[str]:
    """Return the sections in which a phase names another component than the job has."""
    names = dict(names_in(job))
    return [
        section for section in phase if _name(phase[section]) not in (None, names.get((section,)))
    ]


def _name(section: object) -> object:
    return section.get("name") if isinstance(section, dict) else None


def take_phases(merged: Merged, shown: str) -> tuple[list[Source], list[str]]:
    """Remove the phases from a job's values; return each as a source, and all mistakes in form."""
    given = merged.values.pop(PHASES, None)
    source = merged.source_of((PHASES,))
    if given is None or source is None:
        return [], []
    if problem := _malformed(given):
        return [], [f"{source.where((PHASES,))}  phases: {problem}"]
    phases = [_part(source, number, values) for number, values in enumerate(given)]
    mistakes = [
        f"{phase.where(keys) or shown}  phase {number}, {'.'.join(keys)}: {ALLOWED}."
        for number, phase in enumerate(phases, start=1)
        for keys in unchangeable(phase.values)
    ]
    return phases, mistakes


def _malformed(given: object) -> str:
    """Return why a value is not a list of phases, or nothing."""
    if not isinstance(given, list):
        return (
            "expected a list with the settings of each phase, also from --set: "
            "'phases=[{training: {epochs: 2}}, {training: {epochs: 3}}]'."
        )
    odd = [number for number, phase in enumerate(given, start=1) if not isinstance(phase, dict)]
    return f"phase {odd[0]}: expected keys and values, got {given[odd[0] - 1]!r}." if odd else ""


def train_one_thing_in_all_phases(merged: Merged) -> None:
    """Remove methods and bit-widths from the phases, which keep their epochs and optimizers."""
    phases = merged.values.get(PHASES)
    if not isinstance(phases, list):
        return
    merged.values[PHASES] = [
        {key: phase[key] for key in phase if not _trains_otherwise(key, phase[key])}
        if isinstance(phase, dict)
        else phase
        for phase in phases
    ]


def _trains_otherwise(key: str, section: object) -> bool:
    """Return whether a phase's setting is a method or a quantizer; other values are mistakes."""
    return key in ("method", "quantizer") and isinstance(section, dict)


def _part(source: Source, number: int, values: Values) -> Source:
    """Return one phase of a source's list, with the lines of its keys."""
    above = (PHASES, str(number))
    lines = {keys[2:]: line for keys, line in source.lines.items() if keys[:2] == above}
    return Source(source.name, source.folder, values, lines)


def hidden_by_all(merged: Merged, phases: Sequence[Source]) -> list[str]:
    """Return the keys of the command line that have no effect: every phase sets them itself."""
    return [
        ".".join(keys)
        for keys, source in merged.sources.items()
        if source.name == "--set" and phases and all(gives(phase.values, keys) for phase in phases)
    ]


def gives(phase: Values, keys: Keys) -> bool:
    """Return whether a phase sets a key, which is no section."""
    below: object = phase
    for key in keys:
        if not isinstance(below, dict) or key not in below:
            return False
        below = below[key]
    return not isinstance(below, dict)


def merged_in_phase(merged: Merged, phase: Source) -> Merged:
    """Return a job's values and their sources in a phase."""
    changed = Merged(deepcopy(merged.values), dict(merged.sources), list(merged.layers))
    changes = _changes(phase.values)
    for section in _renamed(changed.values, changes):
        changed.values[section] = {}
        for keys in [keys for keys in changed.sources if keys[0] == section]:
            del changed.sources[keys]
    changed.lay_over(Source(phase.name, phase.folder, changes, phase.lines))
    return changed


def _changes(phase: Values) -> Values:
    """Return the settings that a phase gives and may change."""
    wrong = set(unchangeable(phase))
    return {
        section: {key: one for key, one in values.items() if (section, key) not in wrong}
        if isinstance(values, dict)
        else values
        for section, values in phase.items()
        if (section,) not in wrong
    }
