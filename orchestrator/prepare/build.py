"""From a job to its parts, one by one: network, method, and checks of its data sets."""

from collections.abc import Sequence

import torch

import models
from models.methods import METHODS
from models.methods.base import Method
from models.networks.base import AnyBitNetwork
from models.precision import OperatingPoint, precisions_of
from models.table import resolve
from orchestrator.data import Dataset, input_scale
from orchestrator.errors import DataError
from orchestrator.job.schema import Job


def build_method(job: Job) -> Method:
    """Build the method of a job of one phase; its random choices depend on the job alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        method: Method = resolve(METHODS, job.method.name)(job.method, job.points)
    return method


def build_network(
    job: Job, num_classes: int, points: Sequence[OperatingPoint] | None = None
) -> AnyBitNetwork:
    """Build the network of a job, with random weights, for the points of all its phases.

    points: for these instead. It stores weights as codes of the highest bit-width that a phase's
    method asks for.
    """
    methods = [build_method(phase) for phase in job.phase_jobs()]
    mean, std = input_scale(job.data)
    torch.manual_seed(job.seed)
    return models.build_network(
        job.model,
        job.quantizer,
        precisions=precisions_of(points or job.points),
        num_classes=num_classes,
        layout=methods[0].layout,
        code_bits=max(method.code_bits for method in methods),
        mean=mean,
        std=std,
    )


def check_data(job: Job, train_set: Dataset, val_set: Dataset) -> None:
    """Raise DataError when there is nothing to evaluate on, or too much is missing."""
    if len(val_set) == 0:
        raise DataError(f"The evaluation set of '{job.data.name}' is empty.")
    for role, dataset in (("training", train_set), ("evaluation", val_set)):
        check_broken(dataset, dataset.num_missing, job.data.max_broken_share, role)


def check_broken(dataset: Dataset, broken: int, share: float, role: str) -> None:
    """Raise DataError when more than a share of a data set cannot be read."""
    if broken > share * len(dataset):
        raise DataError(
            f"{broken} of the {len(dataset)} samples of the {role} set are missing or broken, more "
            f"than data.max_broken_share = {share:g}. Their names are in the log; repair or remove "
            "them, or allow more with --set data.max_broken_share=SHARE."
        )
