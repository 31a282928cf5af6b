"""From a job's values to the job, whole and in each of its phases, or all mistakes at once."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import JobFileError
from orchestrator.job import own_code
from orchestrator.job.check import (
    code_mistakes,
    end_warnings,
    job_mistakes,
    job_warnings,
    layout_mistakes,
    not_as_given,
    order_mistakes,
    phase_mistakes,
)
from orchestrator.job.explain import explain, keys_of
from orchestrator.job.families import FAMILIES, component_names, value_at
from orchestrator.job.merge import Merged
from orchestrator.job.origins import origins, origins_in
from orchestrator.job.phases import PHASES, hidden_by_all, merged_in_phase, take_phases
from orchestrator.job.resolve import resolve_paths
from orchestrator.job.schema import Job, NoTraining, job_class, validated
from orchestrator.job.source import Keys, Values

EACH = "--each-bit-width"
"""The source of what makes a job an individual run."""


@dataclass(frozen=True)
class LoadedJob:
    """A job, the origin of each of its values by dotted key, and warnings."""

    job: Job
    origins: dict[str, str]
    warnings: list[str]


def whole_job(merged: Merged, mistakes: list[str], shown: str) -> LoadedJob:
    """Return the job, checked as a whole and in each of its phases. Raises JobFileError."""
    phases, found = take_phases(merged, shown)
    own = _checked(merged, shown, in_itself=not phases)
    parts = [_checked(merged_in_phase(merged, phase), shown, in_itself=True) for phase in phases]
    mistakes += [*found, *own.mistakes]
    for number, part in enumerate(parts, start=1):
        new = [line for line in part.mistakes if line not in own.mistakes]
        if not mistakes and not new:
            before = parts[number - 2] if number > 1 else None
            new += _mistakes_between(part, parts[0], before, shown)
        mistakes += [_of_phase(number, line) for line in new]
    if not mistakes:
        jobs = [part.job for part in parts if part.job]
        for number, part in enumerate(parts, start=1):
            lines = code_mistakes(jobs[number - 1], jobs, part.merged, shown)
            mistakes += [_of_phase(number, line) for line in lines]
    if not (parts or mistakes or found):
        mistakes += _mistakes_between(own, own, None, shown)
    if found or own.job is None or any(part.job is None for part in parts):
        raise JobFileError(mistakes)
    resolved = tuple(
        _as_resolved(phase.values, part.merged.values)
        for phase, part in zip(phases, parts, strict=True)
    )
    job = own.job.model_copy(update={PHASES: resolved})
    mistakes += job_mistakes(job, merged, shown)
    if mistakes:
        raise JobFileError(mistakes)
    hidden = [f"{key}: no effect, every phase sets it." for key in hidden_by_all(merged, phases)]
    warnings = own.warnings + hidden + _warnings(parts or [own]) + end_warnings(job, merged)
    return LoadedJob(job, origins(job.as_dict(), merged) | origins_in(phases), warnings)


@dataclass(frozen=True)
class _Checked:
    """The values of a job, or of one of its phases, and the job they make, if they are valid."""

    merged: Merged
    job: Job | None
    mistakes: list[str]
    warnings: list[str] = field(default_factory=list)


def _checked(merged: Merged, shown: str, *, in_itself: bool) -> _Checked:
    """Build the job of some values. in_itself: it is trained without phases."""
    mistakes: list[str] = []
    own_code.use(merged)
    names = component_names(merged, mistakes, shown)
    kind = job_class(names)
    warnings = _drop_settings_of_others(merged, kind, names) + _train_nothing(merged, kind)
    if len(names) < len(FAMILIES):
        return _Checked(merged, None, mistakes + _other_mistakes(merged, kind, names, shown))
    mistakes += resolve_paths(merged, kind)
    try:
        job = validated(kind, merged.values)
    except ValidationError as error:
        return _Checked(merged, None, mistakes + explain(error, merged, kind, shown))
    if converted := not_as_given(merged.values, job.as_dict(), merged):
        return _Checked(merged, None, mistakes + converted)
    if in_itself:
        mistakes += phase_mistakes(job, merged, shown)
    return _Checked(merged, job, mistakes, warnings)


def _train_nothing(merged: Merged, kind: type[Job]) -> list[str]:
    """Leave a method that trains nothing without epochs when --set gives some, to all jobs."""
    keys = ("training", "epochs")
    source, asked = merged.sources.get(keys), value_at(merged.values, keys)
    trains = kind.model_fields["training"].annotation is not NoTraining
    if trains or source is None or source.name != "--set" or type(asked) is not int or asked < 1:
        return []
    value_at(merged.values, keys[:1])["epochs"] = 0
    return [f"training.epochs: {asked} has no effect, the method trains nothing."]


def _as_resolved(given: Values, whole: Values) -> Values:
    """Return the settings that a phase gives, as they are in its whole job: paths are absolute."""
    return {
        key: _as_resolved(value, whole[key]) if isinstance(value, dict) else whole.get(key, value)
        for key, value in given.items()
    }


def _mistakes_between(
    part: _Checked, first: _Checked, before: _Checked | None, shown: str
) -> list[str]:
    """Return why a phase cannot follow the first one and the one before it, or begin a job."""
    assert part.job is not None
    assert first.job is not None
    return [
        *layout_mistakes(part.job, first.job, part.merged, shown),
        *order_mistakes(part.job, before.job if before else None, part.merged, shown),
    ]


def _of_phase(number: int, line: str) -> str:
    """Return a line "file:line  key: ..." with the number of the phase in it."""
    where, two_spaces, rest = line.partition("  ")
    return f"{where}{two_spaces}phase {number}, {rest}"


def _warnings(parts: Sequence[_Checked]) -> list[str]:
    """Return the warnings of all phases, then those of some, with their numbers."""
    found = [job_warnings(part.job, part.merged) for part in parts if part.job]
    everywhere = [line for line in found[0] if all(line in lines for lines in found)]
    return everywhere + [
        f"phase {number}, {line}"
        for number, lines in enumerate(found, start=1)
        for line in lines
        if line not in everywhere
    ]


def _other_mistakes(
    merged: Merged, kind: type[Job], names: Mapping[Keys, str], shown: str
) -> list[str]:
    """Return the mistakes that can be found while a component's name is wrong."""
    values, wrong = deepcopy(merged.values), FAMILIES.keys() - names.keys()
    for keys in wrong:
        above = value_at(values, keys[:-1])
        if isinstance(above, dict):
            above[keys[-1]] = None
    try:
        validated(kind, values)
    except ValidationError as error:
        unknown = [f"  {'.'.join(keys)}: " for keys in wrong]
        # The method says how many epochs there may be: none where it trains nothing.
        unknown += ["  training.epochs: "] * (("method",) in wrong)
        lines = explain(error, merged, kind, shown)
        return [line for line in lines if not any(place in line for place in unknown)]
    return []


def _drop_settings_of_others(
    merged: Merged, kind: type[Job], names: Mapping[Keys, str]
) -> list[str]:
    """Drop keys that another component's section left behind when a stronger source renamed it.

    A job that extends a CoQuant job and says `method.name: individual` does not inherit
    CoQuant's own settings. A key that stands beside the name, or came later, is not dropped: it
    is a mistake. names: of the components that are known.
    """
    warnings: list[str] = []
    for above in names:
        named_by = merged.sources.get((*above, "name"))
        if named_by is None:
            continue
        values = value_at(merged.values, above)
        known = keys_of(_settings_at(kind, above))
        for key in [key for key in values if key not in known]:
            keys = (*above, key)
            is_older = merged.rank(keys) < merged.rank((*above, "name"))
            if is_older and merged.sources[keys].name != "--set":
                where = merged.where(keys)
                merged.drop(keys)
                if named_by.name != EACH:
                    place = ".".join(keys)
                    unlike = f"'{values['name']}' has no such setting"
                    warnings.append(f"{where}  {place}: left out, {unlike}.")
    return warnings


def _settings_at(kind: Any, keys: Keys) -> Any:
    for key in keys:
        kind = kind.model_fields[key].annotation
    return kind
