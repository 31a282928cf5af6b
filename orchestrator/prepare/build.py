"""From a job to its parts, one by one: data sets, network, method."""

import torch

from models import build_network
from models.methods import METHODS
from models.methods.base import Method
from models.networks.base import AnyBitNetwork
from models.precision import precisions_of
from models.table import resolve
from orchestrator.data import Dataset, dataset_class, open_dataset
from orchestrator.errors import DataError
from orchestrator.job.schema import Job


def open_datasets(job: Job) -> tuple[Dataset, Dataset]:
    """Return the training and the evaluation set. Raises MissingData or DataError."""
    segments = job.model.num_segments
    return (
        open_dataset(job.data, train=True, num_segments=segments),
        open_dataset(job.data, train=False, num_segments=segments),
    )


def build_network_and_method(job: Job, num_classes: int) -> tuple[AnyBitNetwork, Method]:
    """Build the network with freshly drawn weights, and the method that trains it."""
    torch.manual_seed(job.seed)
    method: Method = resolve(METHODS, job.method.name)(job.method, job.points)
    data = dataset_class(job.data.name)
    network = build_network(
        job.model,
        job.quantizer,
        precisions=precisions_of(job.points),
        num_classes=num_classes,
        layout=method.layout,
        code_bits=method.code_bits,
        mean=data.mean,
        std=data.std,
    )
    return network, method


def check_data(job: Job, train_set: Dataset, val_set: Dataset) -> None:
    """Raise DataError when there is nothing to evaluate on, or too much is missing."""
    if len(val_set) == 0:
        raise DataError(f"The evaluation set of '{job.data.name}' at {job.data.root} is empty.")
    for role, dataset in (("training", train_set), ("evaluation", val_set)):
        check_broken(dataset, dataset.num_missing, job.data.max_broken_share, role)


def check_broken(dataset: Dataset, broken: int, share: float, role: str) -> None:
    """Raise DataError when more than a share of a data set cannot be read."""
    if broken > share * len(dataset):
        raise DataError(
            f"{broken} of the {len(dataset)} samples of the {role} set are missing or broken, more "
            f"than data.max_broken_share = {share:g}. Their names are in the log; mend or remove "
            "them, or allow more with --set data.max_broken_share=SHARE."
        )
