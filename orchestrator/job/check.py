"""Mistakes across sections: settings that contradict one another."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from models.methods import METHODS
from models.methods.base import Method
from models.precision import FLOAT
from models.table import resolve
from orchestrator.data import DATASETS
from orchestrator.errors import UsageError
from orchestrator.job import evaluate
from orchestrator.job.explain import shown_value
from orchestrator.job.merge import Merged
from orchestrator.job.network import (
    float_and_quantized,
    network_mistakes,
    no_mean_of_clip_levels,
    useless_for_activations,
    without_parameters,
)
from orchestrator.job.optimizer import optimizer_warnings
from orchestrator.job.schema import Job
from orchestrator.job.search_check import search_mistakes, search_warnings
from orchestrator.job.source import Keys
from orchestrator.job.words import suggestion
from orchestrator.plan.batch import divisors
from orchestrator.published import published_rows

LARGEST = 2**40
"""Larger than any sensible number in a job, and small enough for quick arithmetic."""

_ROWS = "orchestrator/published has all; the jobs in jobs/tables name them"


def job_mistakes(job: Job, merged: Merged, shown: str) -> list[str]:
    """Return a line for each pair of settings that contradict one another in a whole job."""
    found = [*_segments(job), *_batch(job), *_reference(job), *_arithmetic(job)]
    found += evaluate.mistakes(job.evaluate, job.points, job.phase_jobs()[-1].points)
    found += _without_training(job)
    dotted = [*network_mistakes(job), *(search_mistakes(job, job.search) if job.search else ())]
    return _lines(found, merged, shown) + [
        f"{merged.where(keys) or shown}  {'.'.join(keys)}: {problem}" for keys, problem in dotted
    ]


def phase_mistakes(job: Job, merged: Merged, shown: str) -> list[str]:
    """Return a line for each pair of settings that contradict one another in one phase."""
    return _lines(_method(job).mistakes(job.method, job.points), merged, shown)


def order_mistakes(job: Job, before: Job | None, merged: Merged, shown: str) -> list[str]:
    """Return a line for each reason why a phase cannot follow the one before, or be the first."""
    if before is None and job.start.source == "checkpoint":
        return []
    settings = None if before is None else before.method
    return _lines(_method(job).mistakes_after(job.method, settings), merged, shown)


def layout_mistakes(job: Job, first: Job, merged: Merged, shown: str) -> list[str]:
    """Return a line when a phase needs a network of another layout than the first phase."""
    own, built = _layout(job), _layout(first)
    unlike = [
        f"{key} {value} instead of {built[key]}"
        for key, value in own.items()
        if value != built[key]
    ]
    if not unlike:
        return []
    problem = (
        f"'{job.method.name}' needs another network than '{first.method.name}' in phase 1 "
        f"({', '.join(unlike)}), and it is built once; train it in a job of its own that starts "
        "from the other's weights (start.from)."
    )
    return _lines([("method.name", problem)], merged, shown)


def code_mistakes(job: Job, phases: Sequence[Job], merged: Merged, shown: str) -> list[str]:
    """Return a line when a phase cannot train the weight codes that one of them asks for."""
    most = max(_built(phase).code_bits for phase in phases)
    return _lines(_built(job).mistakes_with(most), merged, shown)


def _layout(job: Job) -> Mapping[str, object]:
    return vars(_built(job).layout)


def _built(job: Job) -> Method:
    return _method(job)(job.method, job.points)


def _lines(found: Iterable[tuple[str, str]], merged: Merged, shown: str) -> list[str]:
    return [
        f"{merged.where(tuple(key.split('.'))) or shown}  {key}: {problem}"
        for key, problem in found
    ]


def job_warnings(job: Job, merged: Merged) -> list[str]:
    """Return a line for each setting without effect, and for needlessly small passes."""
    warnings = [*_without_effect(job, merged), *_small_passes(job)]
    given = {keys[1] for keys in merged.sources if keys[0] == "optimizer" and len(keys) > 1}
    if job.method.trains:
        warnings += optimizer_warnings(job.optimizer, job.training.epochs, given)
    warnings += [*without_parameters(job), *float_and_quantized(job, merged)]
    warnings += useless_for_activations(job, merged)
    warnings += _float_head(job, merged)
    if job.start.weights is not None and job.start.source == "scratch":
        warnings.append("start.weights: no effect, start.from is 'scratch'.")
    return warnings


def end_warnings(job: Job, merged: Merged) -> list[str]:
    """Return a line for each setting of the end of a run that is without effect."""
    warnings = _lacking_reference(job)
    calibration = ("evaluate", "calibration_batches")
    if calibration in merged.sources and not (job.evaluate.points or _calibrates(job)):
        warnings.append(f"{'.'.join(calibration)}: no effect, evaluate.points is empty.")
    if ("evaluate", "zero_shot_source") in merged.sources and not job.evaluate.points:
        warnings.append("evaluate.zero_shot_source: no effect, evaluate.points is empty.")
    warnings += no_mean_of_clip_levels(job, merged)
    return warnings + (search_warnings(job.search) if job.search else [])


def _calibrates(job: Job) -> bool:
    """Return whether a method does, of a phase with the points that it allows."""
    return any(_method(own)(own.method, own.points).calibrates for own in job.phase_jobs())


def _lacking_reference(job: Job) -> list[str]:
    """Return a warning when a published row lacks points of Delta_B."""
    if job.reference is None or job.reference.published is None:
        return []
    name = job.reference.published
    known = published_rows()[name].values
    lacking = [point.name for point in job.compared if point.name not in known]
    if not lacking:
        return []
    return [
        f"reference.published: there will be no Delta_B, '{name}' has no result at "
        f"{', '.join(lacking)}; it has {', '.join(known)}."
    ]


def not_as_given(
    given: Mapping[str, Any], taken: Mapping[str, Any], merged: Merged, above: Keys = ()
) -> list[str]:
    """Return a mistake for each value that pydantic converted, or that no job can use.

    A choice such as `Literal["auto", 0, 1]` takes true for 1.
    """
    mistakes: list[str] = []
    for key, value in given.items():
        keys = (*above, key)
        if isinstance(value, dict):
            below = taken[key] or {}
            if len(value) > len(below):
                problem = (
                    f"the same key twice in different spellings, got {shown_value(list(value))}."
                )
                mistakes.append(f"{merged.where(keys)}  {'.'.join(keys)}: {problem}")
            mistakes += not_as_given(value, below, merged, keys)
        elif problem := _problem_with(value, taken.get(key)):
            mistakes.append(f"{merged.where(keys)}  {'.'.join(keys)}: {problem}")
    return mistakes


def _problem_with(given: Any, taken: Any) -> str:
    if isinstance(given, list):
        return next(filter(None, map(_problem_with, given, taken)), "")
    if isinstance(given, float) and not math.isfinite(given):
        return f"expected a finite number, got {given}."
    if isinstance(given, int | float) and abs(given) >= LARGEST:
        return f"expected a number below {LARGEST:g}, got {given:g}."
    if (
        isinstance(given, bool | float)
        and isinstance(taken, int)
        and type(given) is not type(taken)
    ):
        return f"expected a whole number, got {shown_value(given)}."
    return ""


def _without_effect(job: Job, merged: Merged) -> list[str]:
    """Return a warning for each given setting of the method that another one disables."""
    off = job.method.without_effect(job.training.epochs)
    return [
        f"{key}: no effect, {reason}."
        for key, reason in off
        if tuple(key.split(".")) in merged.sources
    ]


def _float_head(job: Job, merged: Merged) -> list[str]:
    """Return a warning for a clip level of the linear layer where its inputs are not clipped."""
    own = ("quantizer", "activations", "head_clip_init")
    if own not in merged.sources or not job.method.quantized or job.quantizer.head_bits != FLOAT:
        return []
    return [f"{'.'.join(own)}: no effect, the linear layer is float (quantizer.head_bits)."]


def _small_passes(job: Job) -> list[str]:
    """Warn when a worker's batch has no divisor near the limit: batch norm sees few samples."""
    limit = job.cluster.max_batch_per_worker
    plan = job.plans[-1]
    if 2 * plan.micro_batch > min(limit, plan.per_worker):
        return []
    larger = next(n for n in divisors(plan.per_worker) if n > limit)
    return [
        f"cluster.max_batch_per_worker: a worker's {plan.per_worker} samples go in "
        f"{plan.accumulation} passes of {plan.micro_batch}, which is all batch norm sees at once; "
        f"{larger} would make passes of {larger}, and so may another cluster.num_workers."
    ]


def _method(job: Job) -> type[Method]:
    method: type[Method] = resolve(METHODS, job.method.name)
    return method


def _without_training(job: Job) -> Iterator[tuple[str, str]]:
    """Yield what a job lacks, or has too much of, where a method trains nothing."""
    name = next((one.method.name for one in job.phase_jobs() if not one.method.trains), None)
    if name is None:
        return
    if job.phases:
        yield "phases", f"'{name}' trains nothing; give it a job of its own that starts from a run."
    if job.start.source == "scratch":
        yield "start.from", f"'{name}' needs trained weights; expected is float or checkpoint."
    if job.evaluate.points:
        problem = f"'{name}' evaluates quantizer.bit_widths; list all bit-widths there."
        yield evaluate.KEY, problem


def _segments(job: Job) -> list[tuple[str, str]]:
    kind = resolve(DATASETS, job.data.name).kind
    if kind == "video" and job.model.num_segments is None:
        return [("model.num_segments", f"is required for videos ('{job.data.name}'), usually 8.")]
    if kind == "image" and job.model.num_segments is not None:
        return [("model.num_segments", f"'{job.data.name}' has images, not videos; remove it.")]
    return []


def _batch(job: Job) -> list[tuple[str, str]]:
    try:
        _ = job.plans
    except UsageError as error:
        return [("cluster.num_workers", str(error))]
    return []


def _arithmetic(job: Job) -> list[tuple[str, str]]:
    if job.training.arithmetic != "integer" or job.multiplies_codes:
        return []
    problem = (
        "integer is not possible, no operating point quantizes both weights and activations. With "
        "auto, the job computes in floats."
    )
    return [("training.arithmetic", problem)]


def _reference(job: Job) -> list[tuple[str, str]]:
    if job.reference is None:
        return []
    if job.reference.runs is None:
        name, rows = str(job.reference.published), published_rows()
        if name in rows:
            return []
        unknown = f"no published row is called '{name}'." + suggestion(name, rows, where=_ROWS)
        return [("reference.published", unknown)]
    missing = [point.name for point in job.compared if point.name not in job.reference.runs]
    if missing:
        each = ", ".join(f"{point.name}: RUN" for point in job.compared)
        problem = f"names no run for {', '.join(missing)}; give one for each point: {{{each}}}."
        return [("reference.runs", problem)]
    return []
