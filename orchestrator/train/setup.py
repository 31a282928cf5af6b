"""From a job to what all its phases share: data sets and network."""

from dataclasses import dataclass

import torch

from models.networks.base import AnyBitNetwork
from orchestrator.data import Dataset
from orchestrator.job.schema import Job
from orchestrator.prepare.build import (
    build_network,
    check_data,
    open_datasets,
)
from orchestrator.prepare.start import start
from orchestrator.train.numerics import DTYPES


@dataclass(frozen=True)
class Parts:
    """What one rank trains and evaluates with, from the first step to the last.

    warning: about what the network did not get from the weights that the job starts from.
    """

    train_set: Dataset
    val_set: Dataset
    network: AnyBitNetwork
    warning: str | None = None


def build_parts(job: Job, device: torch.device, *, resumed: bool = False) -> Parts:
    """Build a job's parts; the initial weights depend on the job alone, not on the rank.

    resumed: all weights come from a checkpoint, so those that the job starts from are not read.
    Raises MissingData, DataError or CheckpointMismatch for mistakes in the job.
    """
    train_set, val_set = open_datasets(job)
    check_data(job, train_set, val_set)
    network = build_network(job, train_set.num_classes)
    warning = None if resumed else start(network, job)
    place(network, job, device)
    return Parts(train_set, val_set, network, warning)


def place(network: AnyBitNetwork, job: Job, device: torch.device) -> None:
    """Move a network to a device, to compute there as the job says."""
    network.to(device)
    network.compute_in(None, DTYPES[job.training.precision])
