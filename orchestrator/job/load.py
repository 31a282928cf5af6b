"""File + extends + --set -> Job, with the origin of each value, or all mistakes at once."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.precision import Precision, check_high_to_low, cost
from models.quantizers.settings import QuantizerSettings
from orchestrator.errors import JobFileError
from orchestrator.job.corners import corner_mistakes
from orchestrator.job.families import value_at
from orchestrator.job.merge import Copy, Merged, file_chain, override
from orchestrator.job.phases import PHASES, train_one_thing_in_all_phases
from orchestrator.job.search_values import keep_the_stronger_search
from orchestrator.job.source import Source, Values
from orchestrator.job.uri import masked
from orchestrator.job.whole import EACH, LoadedJob, whole_job

REFERENCES = (("reference", "published"), ("reference", "runs"))
NOT_INDIVIDUAL = (("quantizer", "assignment"), ("evaluate",))
"""Sections that an individual run at one bit-width has no use for."""


def load_job(
    file: str | Path | Copy,
    overrides: Sequence[str] = (),
    *,
    name: str | None = None,
    under: Source | None = None,
    individual_at: Precision | None = None,
) -> LoadedJob:
    """Load a job file with its `extends`, then each KEY=VALUE of `overrides` in turn.

    name: replaces the job's name. under: settings that hold where the files say nothing.
    individual_at: turn it into the individual run at one bit-width, NAME_8bit.
    Raises JobFileError with every mistake of the files and of the overrides; secrets in URIs are
    masked.
    """
    try:
        return _load(file, overrides, name, under, individual_at)
    except JobFileError as error:
        raise JobFileError([masked(line) for line in error.mistakes]) from None


def load_values(values: Values, called: str, overrides: Sequence[str] = ()) -> LoadedJob:
    """Load a job from the values of a job that was loaded before, then each of `overrides` in turn.

    called: the name that messages use instead of a file's. Only effects of the overrides are worth
    a warning. Raises JobFileError as `load_job` does.
    """
    try:
        now, before = (
            _whole(*_merged_with([Source(called, Path.cwd(), deepcopy(values))], given), called)
            for given in (overrides, ())
        )
    except JobFileError as error:
        raise JobFileError([masked(line) for line in error.mistakes]) from None
    return replace(now, warnings=[line for line in now.warnings if line not in before.warnings])


def load_each_bit_width(
    file: str | Path | Copy,
    overrides: Sequence[str] = (),
    *,
    name: str | None = None,
    under: Source | None = None,
) -> list[LoadedJob]:
    """Load a job file as one individual run for each of its bit-widths, high to low.

    Assignments of bit-widths to single layers are left out. Raises JobFileError as `load_job` does,
    each mistake once.
    """
    merged, _ = _merged(file, overrides, name, under)
    if merged.values.get("search") is not None:
        problem = f"{EACH} trains one run for each bit-width; leave it out, or set search=null."
        raise JobFileError([f"{merged.where(('search',))}  search: {problem}"])
    try:
        precisions = list(map(Precision.parse, _bit_widths(merged)))
        check_high_to_low(precisions)
    except ValueError:
        precisions = []
    if not precisions:
        load_job(file, overrides, name=name, under=under)
        raise JobFileError([f"{EACH}: the job has no bit-width to train alone; give some."])
    jobs: list[LoadedJob] = []
    mistakes: list[str] = []
    for precision in precisions:
        try:
            one = load_job(file, overrides, name=name, under=under, individual_at=precision)
            jobs.append(one)
        except JobFileError as error:
            mistakes += error.mistakes
    if mistakes:
        raise JobFileError(list(dict.fromkeys(mistakes)))
    return jobs


def _load(
    file: str | Path | Copy,
    overrides: Sequence[str],
    name: str | None,
    under: Source | None,
    individual_at: Precision | None,
) -> LoadedJob:
    merged, mistakes = _merged(file, overrides, name, under)
    if individual_at is not None:
        merged.lay_over(_individual(merged, individual_at))
        for keys in NOT_INDIVIDUAL:
            if isinstance(value_at(merged.values, keys), dict):
                merged.drop(keys)
        train_one_thing_in_all_phases(merged)
    return _whole(merged, mistakes, next(s.name for s in reversed(merged.layers) if s.lines))


def _whole(merged: Merged, mistakes: list[str], shown: str) -> LoadedJob:
    """Return the job of all values, with short forms expanded. Raises JobFileError."""
    _keep_the_stronger_reference(merged)
    _name_individual_runs(merged)
    keep_the_stronger_search(merged)
    loaded = whole_job(merged, mistakes, shown)
    if loaded.job.search is not None and (
        wrong := corner_mistakes(loaded.job, loaded.job.search, merged, shown)
    ):
        raise JobFileError(wrong)
    return loaded


def _merged(
    file: str | Path | Copy, overrides: Sequence[str], name: str | None, under: Source | None
) -> tuple[Merged, list[str]]:
    """Return all values of a job, and the mistakes of the files and overrides."""
    chain, mistakes, complete = file_chain(file if isinstance(file, Copy) else Path(file))
    if not complete:
        raise JobFileError(mistakes)
    weakest = [under] if under else []
    merged, malformed = _merged_with([*weakest, *chain], overrides)
    if name is not None:
        merged.lay_over(Source("--name", Path.cwd(), {"name": name}))
    return merged, mistakes + malformed


def _merged_with(sources: Sequence[Source], overrides: Sequence[str]) -> tuple[Merged, list[str]]:
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


def _keep_the_stronger_reference(merged: Merged) -> None:
    """Let a stronger `reference.runs` replace a weaker `reference.published`, and so on."""
    given = [keys for keys in REFERENCES if keys in merged.sources]
    if len(given) == 2 and len({merged.rank(keys) for keys in given}) == 2:
        merged.drop(min(given, key=merged.rank))


def _individual(merged: Merged, precision: Precision) -> Source:
    """Return the values that turn a job into the individual run at one bit-width.

    Its own runs it cannot refer to. What is given in place of a section stays, to be reported as a
    mistake.
    """
    given = merged.values
    sections: Values = {
        "method": {"name": "individual"},
        "quantizer": {"bit_widths": [precision.label]},
    }
    values = {key: own for key, own in sections.items() if isinstance(given.get(key, {}), dict)}
    if isinstance(name := given.get("name"), str):
        values["name"] = individual_name(name, precision.label)
    reference = given.get("reference")
    if isinstance(reference, dict) and "runs" in reference:
        values["reference"] = None
    return Source(EACH, Path.cwd(), values)


def _name_individual_runs(merged: Merged) -> None:
    """Let `reference.runs: NAME` mean the individual runs of that name, one for each bit-width."""
    reference = merged.values.get("reference")
    if isinstance(reference, dict) and isinstance(name := reference.get("runs"), str):
        labels = map(_label, _bit_widths(merged))
        reference["runs"] = {label: individual_name(name, label) for label in labels}


def _bit_widths(merged: Merged) -> list[Any]:
    """Return the bit-widths that results are compared at; none when they are not a list.

    They are those of the last phase, and the earlier ones among `evaluate.points`.
    """
    own = _listed(merged.values, QuantizerSettings.model_fields["bit_widths"].default)
    phases = merged.values.get(PHASES)
    if not isinstance(phases, list) or not phases:
        return own
    listed = [_listed(phase, own) for phase in phases if isinstance(phase, dict)]
    every = [bits for widths in listed for bits in widths]
    points = value_at(merged.values, ("evaluate", "points"))
    also = points if isinstance(points, list) else []
    try:
        trained, evaluated, last = (set(map(Precision.parse, p)) for p in (every, also, listed[-1]))
    except (ValueError, IndexError):
        return every
    compared = sorted(last | trained & evaluated, key=cost, reverse=True)
    return [precision.label for precision in compared]


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
