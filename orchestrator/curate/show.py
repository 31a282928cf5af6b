"""What the network sees of a data set, as a picture: `orch data show`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from orchestrator.data import Dataset
from orchestrator.data.ahead import Wanted, load_first
from orchestrator.data.loader import SAMPLE, epoch_order
from orchestrator.data.subset import evenly_spread
from orchestrator.drawing import as_png, contact_sheet
from orchestrator.errors import DataError
from orchestrator.job.schema import Job
from orchestrator.prepare.datasets import open_datasets

GAP = 2
"""Pixels between the frames of a clip."""
ACROSS = 1200
"""Pixels side by side, about."""
LONGEST = 40
"""Characters of a label."""


@dataclass(frozen=True)
class Shown:
    """A sample after its transforms. pixels: RGB, uint8 (height, width, 3), frames side by side."""

    pixels: np.ndarray
    label: str


def samples(job: Job, *, train: bool, count: int, epoch: int) -> list[Shown]:
    """Return the first samples of an epoch as a run trains on them, or some of the evaluation.

    Raises DataError for an empty data set; MissingData, DataError or StorageTrouble for one that
    cannot be opened.
    """
    dataset = open_datasets(job)[0 if train else 1]
    if not len(dataset):
        raise DataError(f"The {'training' if train else 'evaluation'} set of the job is empty.")
    if train:
        order = epoch_order(len(dataset), seed=job.seed, epoch=epoch)[:count].tolist()
        wanted = [Wanted((index,), (SAMPLE, job.seed, epoch)) for index in order]
    else:
        wanted = [Wanted((index,)) for index in evenly_spread(len(dataset), count)]
    return [_shown(dataset, one) for one in wanted]


def _shown(dataset: Dataset, wanted: Wanted) -> Shown:
    inputs = torch.empty(dataset.sample_shape, dtype=torch.uint8)
    loaded = load_first(dataset, wanted, inputs)
    label = ", ".join(dataset.class_names[number] for number in dataset.targets(loaded.index))
    if not loaded.valid:
        label = f"broken: {loaded.broken[0][0]}"
    return Shown(side_by_side(inputs.numpy()), _short(label))


def side_by_side(inputs: np.ndarray) -> np.ndarray:
    """Return an image, or the frames of a clip beside one another, channels last."""
    images = inputs if inputs.ndim == 4 else inputs[None]
    gap = np.full((inputs.shape[-2], GAP, 3), 255, np.uint8)
    parts = [part for image in images for part in (image.transpose(1, 2, 0), gap)]
    return np.concatenate(parts[:-1], axis=1)


def _short(label: str) -> str:
    label = label.encode("utf-8", "surrogateescape").decode("utf-8", "replace")  # of a file's name
    return label if len(label) <= LONGEST else f"{label[: LONGEST // 2]}...{label[-LONGEST // 2 :]}"


def sheet(title: str, shown: Sequence[Shown]) -> bytes:
    """Return samples as a PNG, each with its label below."""
    width = shown[0].pixels.shape[1]
    columns = max(1, min(len(shown), ACROSS // (width + GAP)))
    return as_png(contact_sheet(title, [(one.pixels, one.label) for one in shown], columns))
