"""File + extends + --set -> Job, with the origin of each value, or all mistakes at once."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from models.precision import Precision, check_high_to_low, cost
from models.quantizers.settings import QuantizerSettings
from orchestrator.errors import JobFileError
from orchestrator.job.check import (
    job_mistakes,
    job_warnings,
    layout_mistakes,
    not_as_given,
    phase_mistakes,
)
from orchestrator.job.explain import explain
from orchestrator.job.families import FAMILIES, component_names, value_at
from orchestrator.job.merge import Merged, file_chain, override
from orchestrator.job.origins import origins, origins_in
from orchestrator.job.phases import (
    PHASES,
    merged_in_phase,
    take_phases,
    train_one_thing_in_all_phases,
)
from orchestrator.job.resolve import resolve_paths
from orchestrator.job.schema import Job, job_class, validated
from orchestrator.job.source import Keys, Source, Values
from orchestrator.job.uri import masked

EACH = "--each-bit-width"

REFERENCES = (("reference", "published"), ("reference", "runs"))


@dataclass(frozen=True)
class LoadedJob:
    """A job, the origin of each of its values by dotted key, and warnings."""

    job: Job
    origins: dict[str, str]
    warnings: list[str]


def load_job(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    name: str | None = None,
    individual_at: Precision | None = None,
) -> LoadedJob:
    """Load a job file with its `extends`, then each KEY=VALUE of `overrides` in turn.

    name: replaces the job's name. individual_at: turn it into the individual run at one bit-width,
    NAME_8bit. Raises JobFileError with every mistake of the file and of the overrides; secrets in
    URIs are masked.
    """
    try:
        return _load(path, overrides, name, individual_at)
    except JobFileError as error:
        raise JobFileError([masked(line) for line in error.mistakes]) from None


def load_values(values: Values, called: str, overrides: Sequence[str] = ()) -> LoadedJob:
    """Load a job from the values of a job that was loaded before, then each of `overrides` in turn.

    called: the name that messages use instead of a file's. Only effects of the overrides are worth
    a warning. Raises JobFileError as `load_job` does.
    """
    try:
        now, before = (
            _whole(*_laid([Source(called, Path.cwd(), deepcopy(values))], given), called)
            for given in (overrides, ())
        )
    except JobFileError as error:
        raise JobFileError([masked(line) for line in error.mistakes]) from None
    return replace(now, warnings=[line for line in now.warnings if line not in before.warnings])


def load_each_bit_width(
    path: str | Path, overrides: Sequence[str] = (), *, name: str | None = None
) -> list[LoadedJob]:
    """Load a job file as one individual run for each of its bit-widths, high to low.

    Raises JobFileError as `load_job` does, each mistake once.
    """
    try:
        precisions = list(map(Precision.parse, _bit_widths(_merged(path, overrides, name)[0])))
        check_high_to_low(precisions)
    except ValueError:
        precisions = []
    if not precisions:
        return [load_job(path, overrides, name=name)]
    jobs: list[LoadedJob] = []
    mistakes: list[str] = []
    for precision in precisions:
        try:
            jobs.append(load_job(path, overrides, name=name, individual_at=precision))
        except JobFileError as error:
            mistakes += error.mistakes
    if mistakes:
        raise JobFileError(list(dict.fromkeys(mistakes)))
    return jobs


def _load(
    path: str | Path, overrides: Sequence[str], name: str | None, individual_at: Precision | None
) -> LoadedJob:
    merged, mistakes = _merged(path, overrides, name)
    if individual_at is not None:
        merged.lay_over(_individual(merged, individual_at))
        train_one_thing_in_all_phases(merged)
    return _whole(merged, mistakes, next(s.name for s in reversed(merged.layers) if s.lines))


def _whole(merged: Merged, mistakes: list[str], shown: str) -> LoadedJob:
    """Return the job of all values, with short forms expanded. Raises JobFileError."""
    _keep_the_stronger_reference(merged)
    _name_individual_runs(merged)
    return _build(merged, mistakes, shown)


def _merged(
    path: str | Path, overrides: Sequence[str], name: str | None
) -> tuple[Merged, list[str]]:
    """Return all values of a job, and the mistakes of the files and overrides."""
    chain, mistakes, complete = file_chain(Path(path))
    if not complete:
        raise JobFileError(mistakes)
    merged, odd = _laid(chain, overrides)
    if name is not None:
        merged.lay_over(Source("--name", Path.cwd(), {"name": name}))
    return merged, mistakes + odd


def _laid(sources: Sequence[Source], overrides: Sequence[str]) -> tuple[Merged, list[str]]:
    """Return the values of sources and overrides, and the mistakes in the overrides' form."""
    merged, mistakes = Merged(), []
    for source in sources:
        merged.lay_over(source)
    for text in overrides:
        one, found = override(text)
        mistakes += found
        if one:
            merged.lay_over(one)
    return merged, mistakes


def _build(merged: Merged, mistakes: list[str], shown: str) -> LoadedJob:
    """Return the job, checked as a whole and in each of its phases. Raises JobFileError."""
    phases, found = take_phases(merged, shown)
    own = _checked(merged, shown, in_itself=not phases)
    parts = [_checked(merged_in_phase(merged, phase), shown, in_itself=True) for phase in phases]
    mistakes += [*found, *own.mistakes]
    for number, part in enumerate(parts, start=1):
        new = [line for line in part.mistakes if line not in own.mistakes]
        new += [] if mistakes or new else _layout_mistakes(part, parts[0], shown)
        mistakes += [_of_phase(number, line) for line in new]
    if found or own.job is None or any(part.job is None for part in parts):
        raise JobFileError(mistakes)
    job = own.job.model_copy(update={PHASES: tuple(phase.values for phase in phases)})
    mistakes += job_mistakes(job, merged, shown)
    if mistakes:
        raise JobFileError(mistakes)
    warnings = own.warnings + _warnings(parts or [own])
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
    names = component_names(merged, mistakes, shown)
    kind = job_class(names)
    if len(names) < len(FAMILIES):
        return _Checked(merged, None, mistakes + _other_mistakes(merged, kind, names, shown))
    warnings = _drop_inherited_strangers(merged, kind)
    mistakes += resolve_paths(merged, kind)
    try:
        job = validated(kind, merged.values)
    except ValidationError as error:
        return _Checked(merged, None, mistakes + explain(error, merged, kind, shown))
    if odd := not_as_given(merged.values, job.as_dict(), merged):
        return _Checked(merged, None, mistakes + odd)
    if in_itself:
        mistakes += phase_mistakes(job, merged, shown)
    return _Checked(merged, job, mistakes, warnings)


def _layout_mistakes(part: _Checked, first: _Checked, shown: str) -> list[str]:
    assert part.job is not None
    assert first.job is not None
    return layout_mistakes(part.job, first.job, part.merged, shown)


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
    values = deepcopy(merged.values)
    for keys in FAMILIES.keys() - names.keys():
        above = value_at(values, keys[:-1])
        if isinstance(above, dict):
            above[keys[-1]] = None
    try:
        validated(kind, values)
    except ValidationError as error:
        return explain(error, merged, kind, shown)
    return []


def _keep_the_stronger_reference(merged: Merged) -> None:
    """Let a stronger `reference.runs` replace a weaker `reference.published`, and so on."""
    given = [keys for keys in REFERENCES if keys in merged.sources]
    if len(given) == 2 and len({merged.rank(keys) for keys in given}) == 2:
        merged.drop(min(given, key=merged.rank))


def _individual(merged: Merged, precision: Precision) -> Source:
    """Return the values that turn a job into the individual run at one bit-width.

    Its own runs it cannot refer to, and it is evaluated at no other bit-width.
    """
    values: Values = {
        "method": {"name": "individual"},
        "quantizer": {"bit_widths": [precision.label]},
    }
    if isinstance(name := merged.values.get("name"), str):
        values["name"] = individual_name(name, precision.label)
    if "runs" in (merged.values.get("reference") or {}):
        values["reference"] = None
    if "evaluate" in merged.values:
        values["evaluate"] = {"points": []}
    return Source(EACH, Path.cwd(), values)


def _name_individual_runs(merged: Merged) -> None:
    """Let `reference.runs: NAME` mean the individual runs of that name, one for each bit-width."""
    reference = merged.values.get("reference")
    if isinstance(reference, dict) and isinstance(name := reference.get("runs"), str):
        labels = map(_label, _bit_widths(merged))
        reference["runs"] = {label: individual_name(name, label) for label in labels}


def _bit_widths(merged: Merged) -> list[Any]:
    """Return the bit-widths of all phases, else those of the job; none when they are not a list."""
    own = _listed(merged.values, QuantizerSettings.model_fields["bit_widths"].default)
    phases = merged.values.get(PHASES)
    if not isinstance(phases, list) or not phases:
        return own
    listed = [_listed(phase, own) for phase in phases if isinstance(phase, dict)]
    every = [bits for widths in listed for bits in widths]
    try:
        precisions = sorted(set(map(Precision.parse, every)), key=cost, reverse=True)
    except ValueError:
        return every
    return [precision.label for precision in precisions]


def _listed(values: Values, default: Sequence[Any]) -> list[Any]:
    quantizer = values.get("quantizer")
    given = quantizer.get("bit_widths") if isinstance(quantizer, dict) else None
    widths = default if given is None else given
    return list(widths) if isinstance(widths, list | tuple) else []


def _label(bits: Any) -> str:
    """Return the label of a bit-width, or any other value as text."""
    try:
        return Precision.parse(bits).label
    except ValueError:
        return str(bits)


def individual_name(name: str, point: str) -> str:
    """Return the name of the individual run at a bit-width: `quickstart_8bit`."""
    return f"{name}_{point}"


def _drop_inherited_strangers(merged: Merged, kind: type[Job]) -> list[str]:
    """Drop keys that another component's section left behind when a stronger source renamed it.

    A job that extends a CoQuant job and says `method.name: individual` does not inherit
    CoQuant's own settings. A key that stands beside the name, or came later, is not dropped: it
    is a mistake.
    """
    warnings: list[str] = []
    for above in FAMILIES:
        named_by = merged.sources.get((*above, "name"))
        if named_by is None:
            continue
        values = value_at(merged.values, above)
        known = _keys_of(_settings_at(kind, above))
        for key in [key for key in values if key not in known]:
            source = merged.source_of((*above, key))
            if source is not named_by and not (source and source.name == "--set"):
                where = merged.where((*above, key))
                merged.drop((*above, key))
                if named_by.name != EACH:
                    place = ".".join((*above, key))
                    unlike = f"'{values['name']}' has no such setting"
                    warnings.append(f"{where}  {place}: left out, {unlike}.")
    return warnings


def _settings_at(kind: Any, keys: Keys) -> Any:
    for key in keys:
        kind = kind.model_fields[key].annotation
    return kind


def _keys_of(settings: Any) -> set[str]:
    fields = settings.model_fields
    return set(fields) | {field.alias for field in fields.values() if field.alias}
