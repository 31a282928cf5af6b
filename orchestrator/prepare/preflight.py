"""The checks before anything is started; all problems are reported at once."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import torch

from models.methods.base import Method
from orchestrator.data import Dataset
from orchestrator.data.loader import steps_per_epoch
from orchestrator.errors import JobFailed, OrchError, Unreachable, UsageError
from orchestrator.job.corners import corner_jobs, corner_name
from orchestrator.job.schema import Job
from orchestrator.job.space import Settings
from orchestrator.job.weights import no_weights
from orchestrator.plan.batch import LARGER_PASS
from orchestrator.prepare.build import (
    build_network,
    check_data,
)
from orchestrator.prepare.datasets import missing, open_datasets, remarks
from orchestrator.prepare.promised import unfit
from orchestrator.prepare.start import is_there, start
from orchestrator.prepare.teacher import give_teacher, missing_teacher, named_teachers
from orchestrator.store.place import folder_at
from orchestrator.store.run_folder import RunFolder
from orchestrator.track import record, recorder, reference
from orchestrator.track.delta_b import ReferenceResults

_SECTIONS = (
    *("model", "method.name", "quantizer", "data", "start"),
    *("training.global_batch", "cluster"),
)
"""What the checks of data and initial weights look at."""

Needed = Callable[[str | None], bool]
"""Whether some weights that a job names are needed, and there, when it begins."""


def check(
    job: Job,
    folder: RunFolder | None = None,
    warn: Callable[[str], object] = lambda _: None,
    *,
    first: bool = False,
    awaited: Collection[str] = (),
    known: ReferenceResults | None = None,
    away: Callable[[str], object] | None = None,
) -> ReferenceResults | None:
    """Check data, initial weights, output folder, reference and tracking server of a job.

    Data and initial weights are those of each corner of a search. folder: of the run that the job
    continues; if it holds a checkpoint, the initial weights are not needed. warn: is called with
    what the initial weights lack. first: it is the run's first attempt, which goes on only if an
    earlier driver made the folder. awaited: the folders of runs that will have ended when the job
    begins, which are not looked at. known: the reference of Delta_B, if it was found before. away:
    is called when the tracking server does not answer and is not needed now. Returns the reference.
    Raises UsageError with every problem found, or Unreachable when the tracking server is the only
    one, or JobFailed when that is the folder of a run that goes on.
    """
    resumed = folder is not None and bool(folder.to_continue_from())
    warnings: dict[str, None] = {}

    def needed(weights: str | None) -> bool:
        return not resumed and weights not in awaited

    problems = _of_corners(job, lambda corner: _of_job(corner, needed, warnings.setdefault))
    unwritable = _output(job, folder, first)
    for warning in warnings:
        warn(warning)
    if unwritable and not problems:
        raise unwritable
    if problems:
        raise UsageError("\n".join([*problems, *([str(unwritable)] if unwritable else [])]))
    uri = record.tracking_uri(job, folder)
    unreachable: list[str] = []
    found: list[ReferenceResults | None] = []
    problems += _collect(lambda: found.append(known or reference.find(job, uri)), unreachable)
    problems += _collect(
        lambda: recorder.check_reachable(uri, job.tracking.experiment), unreachable
    )
    if problems:
        raise UsageError("\n".join(problems + unreachable))
    silence = "\n".join(dict.fromkeys(unreachable))
    if silence and (away is None or not found):
        raise Unreachable(silence)
    if silence and away:
        away(silence)
    return found[0]


def check_promised(job: Job, sources: Mapping[str, Job]) -> None:
    """Check that a job can start and learn from weights that others are still to train.

    sources: the jobs that train them, by the folders of their runs. Raises UsageError with every
    problem, of each corner of a search.
    """
    if problems := _of_corners(job, lambda corner: list(unfit(corner, sources))):
        raise UsageError("\n".join(problems))


def _of_corners(job: Job, check_one: Callable[[Job], list[str]]) -> list[str]:
    """Return the problems of all corners of a job, each once, with what its corners share."""
    corners = list(corner_jobs(job, _SECTIONS))
    found: dict[str, list[Settings]] = {}
    for corner in corners:
        for problem in check_one(corner.job):
            found.setdefault(problem, []).append(corner.settings)
    return [
        problem if len(where) == len(corners) else f"{corner_name(_shared(where))}: {problem}"
        for problem, where in found.items()
    ]


def _shared(where: Sequence[Settings]) -> Settings:
    """Return the settings that some corners share, or those of the first if they share none."""
    first, *others = where
    shared = {key: one for key, one in first.items() if all(o.get(key) == one for o in others)}
    return shared or first


def _of_job(job: Job, needed: Needed, warn: Callable[[str], object]) -> list[str]:
    return [*_data(job, needed, warn), *_start(job, needed), *_teachers(job, needed)]


def _data(job: Job, needed: Needed, warn: Callable[[str], object]) -> list[str]:
    try:
        problems = missing(job)
    except OrchError as error:
        problems = str(error).splitlines()
    return [f"data: {problem}" for problem in problems] or _collect(
        lambda: _try_data(job, needed, warn), []
    )


def _try_data(job: Job, needed: Needed, warn: Callable[[str], object]) -> None:
    """Open data sets and needed weights once, as every worker will; decodes nothing."""
    train_set, val_set = open_datasets(job)
    check_data(job, train_set, val_set)
    for remark in remarks(train_set, val_set):
        warn(f"data: {remark}")
    steps_per_epoch(len(train_set), job.training.global_batch)
    _try_pass(job, train_set)
    if needed(job.start.weights) and not _start(job, needed):
        lacking = start(build_network(job, train_set.num_classes), job)
        if lacking:
            warn(lacking)
    if not _teachers(job, needed):
        for phase, method in _teachers_needed(job, needed):
            give_teacher(method, phase, train_set.num_classes, trained=True)


def _try_pass(job: Job, train_set: Dataset) -> None:
    """Run a blank sample through the network if passes have only one: batch norm may refuse it."""
    if all(plan.micro_batch > 1 for plan in job.plans):
        return
    network = build_network(job, train_set.num_classes)
    try:
        with torch.no_grad():
            network(torch.zeros(1, *train_set.sample_shape), job.points[-1])
    except ValueError as error:
        if "Expected more than 1 value per channel" not in str(error):
            raise
        raise UsageError(f"cluster.max_batch_per_worker, data.crop: {LARGER_PASS}") from error


def _start(job: Job, needed: Needed) -> list[str]:
    """Return the problems with what the job starts from, as far as the file alone shows them."""
    given = job.start.weights
    if job.start.source == "scratch" or not needed(given):
        return []
    if given is None:
        source = job.start.source
        return [f"start.weights: start.from is '{source}' and {_EXPECTED[source]}"]
    if not is_there(given):
        return [f"start.weights: {no_weights(given)}"]
    return []


_EXPECTED = {
    "float": "no file is named. Give the float model's state dict in torchvision's layout "
    "(--set start.weights=FILE) or a finished run of jobs/float (--set start.weights=RUN), or "
    "start from random weights (--set start.from=scratch).",
    "checkpoint": "no run is named. Give a finished run by its name, or the folder of one of its "
    "checkpoints (--set start.weights=RUN).",
}


def _teachers_needed(job: Job, needed: Needed) -> Iterator[tuple[Job, Method]]:
    """Yield the phases with a teacher to be named, each with its method, if that one is needed."""
    for phase, method in named_teachers(job.phase_jobs()):
        if needed(method.wanted_teacher.weights if method.wanted_teacher else None):
            yield phase, method


def _teachers(job: Job, needed: Needed) -> list[str]:
    """Return the problems with the weights of teachers, as far as the files alone show them."""
    found = (missing_teacher(method) for _, method in _teachers_needed(job, needed))
    return [problem for problem in dict.fromkeys(found) if problem]


def _output(job: Job, folder: RunFolder | None, first: bool) -> OrchError | None:
    """Return what is wrong when the run's folder could not be written.

    A run that goes on can have no other folder than its own.
    """
    place, remedy = folder.place if folder else folder_at(job.output), "put that right"
    try:
        problem = place.unwritable()
    except OSError as full:
        problem, remedy = f"{place} cannot be written ({full.strerror})", "free some space"
    if not problem:
        return None
    if folder is None or (first and not _has_begun(folder)):
        return UsageError(f"output: {problem}; name another with --set output=DIR.")
    return JobFailed(f"output: {problem}; {remedy}, and `orch resume` continues.")


def _has_begun(folder: RunFolder) -> bool:
    """Return whether a driver has written the run's settings, as far as can be seen."""
    try:
        return folder.job.exists()
    except OSError:
        return False


def _collect(action: Callable[[], object], unreachable: list[str]) -> list[str]:
    try:
        action()
    except Unreachable as error:
        unreachable.append(str(error))
    except OrchError as error:
        return [str(error)]
    return []
