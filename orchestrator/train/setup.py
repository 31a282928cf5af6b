"""From a job to what all its phases share: data sets and network."""

from dataclasses import dataclass, field, replace

from models.networks.base import AnyBitNetwork
from orchestrator.data import Dataset
from orchestrator.data.ahead import MIB, Loaders
from orchestrator.job.schema import Job
from orchestrator.prepare.build import build_network, check_data
from orchestrator.prepare.datasets import open_datasets, patience
from orchestrator.prepare.start import start
from orchestrator.train.arithmetic import Arithmetic, choose
from orchestrator.train.ranks import Ranks


@dataclass(frozen=True)
class Parts:
    """What one rank trains and evaluates with, from the first step to the last.

    arithmetic: in which the network computes. warning: about what it did not get from the weights
    that the job starts from. loaders: load the samples of both sets.
    """

    train_set: Dataset
    val_set: Dataset
    network: AnyBitNetwork
    arithmetic: Arithmetic
    warning: str | None = None
    loaders: Loaders = field(default_factory=Loaders)


def build_parts(job: Job, ranks: Ranks, *, resumed: bool = False) -> Parts:
    """Build a job's parts; the initial weights depend on the job alone, not on the rank.

    resumed: all weights come from a checkpoint, so those that the job starts from are not read.
    Raises MissingData, DataError, CheckpointMismatch or UsageError for mistakes in the job.
    """
    train_set, val_set = open_datasets(job)
    check_data(job, train_set, val_set)
    network = build_network(job, train_set.num_classes)
    warning = None if resumed else start(network, job)
    arithmetic, asked = place(network, job, ranks), job.cluster
    loaders = Loaders(
        asked.loader_workers,
        asked.loader,
        memory=asked.loader_memory * MIB,
        timeout=asked.loader_timeout,
        patience=patience(job),
        pin=ranks.pins,
    )
    return Parts(train_set, val_set, network, arithmetic, warning, loaders)


def place(network: AnyBitNetwork, job: Job, ranks: Ranks) -> Arithmetic:
    """Move a network to a rank's device, to compute there as the job says and all ranks can."""
    network.to(ranks.device)
    arithmetic = choose(job, ranks)
    network.compute_in(arithmetic.kernel, arithmetic.dtype)
    layers, in_floats = len(network.quantized_layers), network.in_floats(job.points)
    stated = replace(arithmetic.stated, layers=layers, in_floats=in_floats)
    return replace(arithmetic, stated=stated)
