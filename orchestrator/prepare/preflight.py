"""What can be known to be wrong before anything is started, all of it at once."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from orchestrator.data import Dataset, missing_data
from orchestrator.data.loader import steps_per_epoch
from orchestrator.errors import OrchError, Unreachable, UsageError
from orchestrator.job.schema import Job
from orchestrator.plan.batch import LARGER_PASS, plan_batch
from orchestrator.prepare.build import (
    build_network_and_method,
    check_data,
    open_datasets,
    start_from_float,
)
from orchestrator.track import delta_b, recorder
from orchestrator.track.delta_b import ReferenceResults


def check(job: Job) -> None:
    """Check data, float weights, output folder, reference and tracking server of a job.

    Raises UsageError with every problem found, or Unreachable when the tracking server is the
    only one.
    """
    problems: list[str] = []
    for part in (_data, _float_weights, _output):
        problems += part(job)
    unreachable: list[str] = []
    if not problems:
        problems += _collect(lambda: find_reference(job), unreachable)
        problems += _collect(
            lambda: recorder.check_reachable(_uri(job), job.tracking.experiment), unreachable
        )
    if problems:
        raise UsageError("\n".join(problems + unreachable))
    if unreachable:
        raise Unreachable("\n".join(dict.fromkeys(unreachable)))


def find_reference(job: Job) -> ReferenceResults | None:
    """Return what Delta_B is to be compared with. Raises UsageError for an unknown one."""
    if job.reference is None:
        return None
    if job.reference.published is not None:
        return delta_b.published_reference(job.reference.published)
    assert job.reference.runs is not None
    metric = getattr(job.data, "metric", "top1")
    return recorder.reference_runs(_uri(job), metric, job.reference.runs)


def _uri(job: Job) -> str:
    return recorder.tracking_uri(job.tracking.uri, job.output)


def _data(job: Job) -> list[str]:
    problems = missing_data(job.data)
    return [f"data: {problem}" for problem in problems] or _collect(lambda: _try_data(job), [])


def _try_data(job: Job) -> None:
    """Open the data sets once, as every worker will; decodes nothing."""
    train_set, val_set = open_datasets(job)
    check_data(job, train_set, val_set)
    steps_per_epoch(len(train_set), job.training.global_batch)
    _try_pass(job, train_set)


def _try_pass(job: Job, train_set: Dataset) -> None:
    """Let a blank sample through the network if passes have one only, as batch norm may refuse."""
    cluster = job.cluster
    plan = plan_batch(job.training.global_batch, cluster.num_workers, cluster.max_batch_per_worker)
    if plan.micro_batch > 1:
        return
    network, _ = build_network_and_method(job, train_set.num_classes)
    try:
        with torch.no_grad():
            network(torch.zeros(1, *train_set.sample_shape), min(network.bit_widths))
    except ValueError as error:
        if "Expected more than 1 value per channel" not in str(error):
            raise
        raise UsageError(f"cluster.max_batch_per_worker, data.crop: {LARGER_PASS}") from error


def _float_weights(job: Job) -> list[str]:
    if job.model.init != "float":
        return []
    if job.model.weights is None:
        return [
            "model.weights: model.init is 'float' and no file is named. Give the float model's "
            "state dict in torchvision's layout (--set model.weights=FILE) or a finished run of "
            "jobs/float (--set model.weights=RUN), or start from drawn weights "
            "(--set model.init=scratch)."
        ]
    if not Path(job.model.weights).exists():
        return [f"model.weights: there is no file, and no run, {job.model.weights}."]
    return _collect(lambda: _try_weights(job), [])


def _try_weights(job: Job) -> None:
    """Load the float weights once, as every worker will."""
    network, _ = build_network_and_method(job, num_classes=1)
    start_from_float(network, job)


def _output(job: Job) -> list[str]:
    """Return a problem when the nearest existing folder above the output cannot be written."""
    folder = next(_existing(job.output))
    if not folder.is_dir():
        return [f"output: {folder} is a file, not a folder; name another with --set output=DIR."]
    if not os.access(folder, os.W_OK | os.X_OK):
        return [f"output: {folder} cannot be written; name another folder with --set output=DIR."]
    return []


def _existing(path: Path) -> Iterator[Path]:
    return (folder for folder in (path, *path.parents) if folder.exists())


def _collect(action: Callable[[], object], unreachable: list[str]) -> list[str]:
    try:
        action()
    except Unreachable as error:
        unreachable.append(str(error))
    except OrchError as error:
        return [str(error)]
    return []
