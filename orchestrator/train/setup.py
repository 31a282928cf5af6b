"""From a job to the things that train: data sets, network, method, optimizer."""

from dataclasses import dataclass

import torch

from models.methods.base import Method
from models.networks.base import AnyBitNetwork
from models.roles import roles
from orchestrator.data import Dataset
from orchestrator.job.schema import Job
from orchestrator.prepare.build import (
    build_network_and_method,
    check_data,
    open_datasets,
)
from orchestrator.prepare.start import start
from orchestrator.train.numerics import CODE_DTYPES
from orchestrator.train.optimizers import build_optimizer


@dataclass(frozen=True)
class Parts:
    """Everything one rank trains and evaluates with.

    warning: of what the network was not given by the weights that the job starts from.
    """

    train_set: Dataset
    val_set: Dataset
    network: AnyBitNetwork
    method: Method
    optimizer: torch.optim.Optimizer
    warning: str | None = None


def build_parts(job: Job, device: torch.device) -> Parts:
    """Build a job's parts; the initial weights depend on the job alone, not on the rank.

    Raises MissingData, DataError or CheckpointMismatch for what a job may get wrong.
    """
    train_set, val_set = open_datasets(job)
    check_data(job, train_set, val_set)
    network, method = build_network_and_method(job, train_set.num_classes)
    warning = start(network, job)
    network.to(device)
    network.convolve_codes_in(CODE_DTYPES[job.training.precision])
    optimizer = build_optimizer(roles(network, method), job.optimizer, points=len(job.points))
    return Parts(train_set, val_set, network, method, optimizer, warning)
