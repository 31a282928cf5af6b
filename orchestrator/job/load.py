"""File + extends + --set -> Job, with the origin of each value, or all mistakes at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from models.bitwidth import check_bit_widths
from models.quantizers.settings import QuantizerSettings
from orchestrator.errors import JobFileError
from orchestrator.job.check import job_mistakes, job_warnings, not_as_given
from orchestrator.job.explain import explain
from orchestrator.job.merge import Merged, file_chain, override
from orchestrator.job.resolve import resolve_paths
from orchestrator.job.schema import FAMILIES, Job, job_class, validated
from orchestrator.job.source import Keys, Source, Values
from orchestrator.job.uri import masked
from orchestrator.job.words import suggestion

EACH = "--each-bit-width"

REFERENCES = (("reference", "published"), ("reference", "runs"))


@dataclass(frozen=True)
class LoadedJob:
    """A job, the origin of each of its values by dotted key, and what is worth a warning."""

    job: Job
    origins: dict[str, str]
    warnings: list[str]


def load_job(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    name: str | None = None,
    individual_at: int | None = None,
) -> LoadedJob:
    """Load a job file with its `extends`, then each KEY=VALUE of `overrides` in turn.

    name: what the job is called instead. individual_at: make of it the individual run at one
    bit-width, NAME_8bit. Raises JobFileError with every mistake of the file and of the overrides;
    no line of it repeats a secret that a URI gives away.
    """
    try:
        return _load(path, overrides, name, individual_at)
    except JobFileError as error:
        raise JobFileError([masked(line) for line in error.mistakes]) from None


def load_each_bit_width(
    path: str | Path, overrides: Sequence[str] = (), *, name: str | None = None
) -> list[LoadedJob]:
    """Load a job file as one individual run for each of its bit-widths, high to low.

    Raises JobFileError as `load_job` does, each mistake once.
    """
    try:
        widths = check_bit_widths(_bit_widths(_merged(path, overrides, name)[0]))
    except (ValueError, TypeError):
        return [load_job(path, overrides, name=name)]
    jobs: list[LoadedJob] = []
    mistakes: list[str] = []
    for bits in widths:
        try:
            jobs.append(load_job(path, overrides, name=name, individual_at=bits))
        except JobFileError as error:
            mistakes += error.mistakes
    if mistakes:
        raise JobFileError(list(dict.fromkeys(mistakes)))
    return jobs


def _load(
    path: str | Path, overrides: Sequence[str], name: str | None, individual_at: int | None
) -> LoadedJob:
    merged, mistakes = _merged(path, overrides, name)
    if individual_at is not None:
        merged.lay_over(_individual(merged, individual_at))
    _keep_the_stronger_reference(merged)
    _name_individual_runs(merged)
    return _build(merged, mistakes, next(s.name for s in reversed(merged.layers) if s.lines))


def _merged(
    path: str | Path, overrides: Sequence[str], name: str | None
) -> tuple[Merged, list[str]]:
    """Return all values of a job, and the mistakes made in writing them down."""
    chain, mistakes, complete = file_chain(Path(path))
    if not complete:
        raise JobFileError(mistakes)
    merged = Merged()
    for source in chain:
        merged.lay_over(source)
    for text in overrides:
        one, found = override(text)
        mistakes += found
        if one:
            merged.lay_over(one)
    if name is not None:
        merged.lay_over(Source("--name", Path.cwd(), {"name": name}))
    return merged, mistakes


def _build(merged: Merged, mistakes: list[str], shown: str) -> LoadedJob:
    names = _component_names(merged, mistakes, shown)
    kind = job_class(**names)
    if len(names) < len(FAMILIES):
        raise JobFileError(mistakes + _other_mistakes(merged, kind, names, shown))
    warnings = _drop_inherited_strangers(merged, kind)
    mistakes += resolve_paths(merged, kind)
    try:
        job = validated(kind, merged.values)
    except ValidationError as error:
        raise JobFileError(mistakes + explain(error, merged, kind, shown)) from None
    mistakes += not_as_given(merged.values, job.as_dict(), merged) or job_mistakes(
        job, merged, shown
    )
    if mistakes:
        raise JobFileError(mistakes)
    warnings += job_warnings(job, merged)
    return LoadedJob(job, _origins(job.as_dict(), merged), warnings)


def _component_names(merged: Merged, mistakes: list[str], shown: str) -> dict[str, str]:
    """Return the name of each section's component, but for those with a mistake, which is noted."""
    names: dict[str, str] = {}
    for section, table in FAMILIES.items():
        values = merged.values.get(section)
        keys = (section, "name") if isinstance(values, dict) else (section,)
        where = merged.where(keys) or shown
        if not isinstance(values, dict) or "name" not in values:
            mistakes.append(
                f"{where}  {section}.name: is required; one of: {', '.join(sorted(table))}."
            )
        elif not _is_known(name := values["name"], table):
            mistakes.append(
                f"{where}  {section}.name: no {section} is called {name!r}."
                + suggestion(str(name), table)
            )
        else:
            names[section] = values["name"]
    return names


def _is_known(name: Any, table: Mapping[str, str]) -> bool:
    return isinstance(name, str) and name in table


def _other_mistakes(
    merged: Merged, kind: type[Job], names: Mapping[str, str], shown: str
) -> list[str]:
    """Return the mistakes that can be told while a component's name is wrong."""
    unknown: Values = dict.fromkeys(FAMILIES.keys() - names.keys())
    try:
        validated(kind, merged.values | unknown)
    except ValidationError as error:
        return explain(error, merged, kind, shown)
    return []


def _keep_the_stronger_reference(merged: Merged) -> None:
    """Let a stronger `reference.runs` replace a weaker `reference.published`, and so on."""
    given = [keys for keys in REFERENCES if keys in merged.sources]
    if len(given) == 2 and len({merged.rank(keys) for keys in given}) == 2:
        merged.drop(min(given, key=merged.rank))


def _individual(merged: Merged, bits: int) -> Source:
    """Return what makes a job the individual run at one bit-width.

    Its own runs it cannot refer to, and it is evaluated at no other bit-width.
    """
    values: Values = {
        "method": {"name": "individual"},
        "quantizer": {"bit_widths": [bits]},
    }
    if isinstance(name := merged.values.get("name"), str):
        values["name"] = individual_name(name, bits)
    if "runs" in (merged.values.get("reference") or {}):
        values["reference"] = None
    if "evaluate" in merged.values:
        values["evaluate"] = {"points": []}
    return Source(EACH, Path.cwd(), values)


def _name_individual_runs(merged: Merged) -> None:
    """Let `reference.runs: NAME` mean the individual runs of that name, one for each bit-width."""
    reference = merged.values.get("reference")
    if isinstance(reference, dict) and isinstance(name := reference.get("runs"), str):
        reference["runs"] = {str(b): individual_name(name, b) for b in _bit_widths(merged)}


def _bit_widths(merged: Merged) -> list[Any]:
    """Return the bit-widths that are given, or the default ones; none when they are no list."""
    quantizer = merged.values.get("quantizer")
    given = quantizer.get("bit_widths") if isinstance(quantizer, dict) else None
    widths = QuantizerSettings.model_fields["bit_widths"].default if given is None else given
    return list(widths) if isinstance(widths, list | tuple) else []


def individual_name(name: str, bits: int) -> str:
    """Return how the individual run at a bit-width is called: `quickstart_8bit`."""
    return f"{name}_{bits}bit"


def _drop_inherited_strangers(merged: Merged, kind: type[Job]) -> list[str]:
    """Drop keys that another component's section left behind when a stronger source renamed it.

    A job that extends a CoQuant job and says `method.name: individual` does not inherit
    CoQuant's own settings. A key that stands beside the name, or came later, is not dropped: it
    is a mistake.
    """
    warnings: list[str] = []
    for section in FAMILIES:
        values = merged.values[section]
        known = _keys_of(kind.model_fields[section].annotation)
        named_by = merged.source_of((section, "name"))
        for key in [key for key in values if key not in known]:
            source = merged.source_of((section, key))
            if source is not named_by and not (source and source.name == "--set"):
                where = merged.where((section, key))
                merged.drop((section, key))
                if not named_by or named_by.name != EACH:
                    warnings.append(
                        f"{where}  {section}.{key}: left out, "
                        f"'{values['name']}' has no such setting."
                    )
    return warnings


def _keys_of(settings: Any) -> set[str]:
    fields = settings.model_fields
    return set(fields) | {field.alias for field in fields.values() if field.alias}


def _origins(values: Mapping[str, Any], merged: Merged, above: Keys = ()) -> dict[str, str]:
    origins: dict[str, str] = {}
    for key, value in values.items():
        keys = (*above, key)
        if isinstance(value, dict) and value:
            origins |= _origins(value, merged, keys)
        else:
            named = keys[:2] == ("reference", "runs")  # by points that may be written otherwise
            source = merged.source_of(keys) if named else merged.sources.get(keys)
            origins[".".join(keys)] = source.where(keys) if source else "default"
    return origins
