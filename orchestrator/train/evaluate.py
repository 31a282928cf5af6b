"""Top-1 or mAP at every operating point, over all ranks, each sample counted once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.networks.base import AnyBitNetwork
from models.precision import Assignment, OperatingPoint
from orchestrator.data import Dataset
from orchestrator.data.ahead import Loaders
from orchestrator.data.loader import eval_batches
from orchestrator.errors import Diverged
from orchestrator.track.result import PointResult
from orchestrator.train.gradients import ADVICE, average_norm_statistics
from orchestrator.train.ranks import Ranks
from orchestrator.train.scores import METRICS


@dataclass(frozen=True)
class Evaluation:
    """A row for each point, high to low, and why the samples that were left out are broken.

    classes: of a mean over classes, how many have positives, and how many there are.
    """

    metric_name: str
    rows: tuple[PointResult, ...]
    broken: dict[str, str]
    classes: tuple[int, int] | None = None


Way = Callable[[int], OperatingPoint | Assignment]
"""How a network runs in a batch: called with its number among the batches of a rank."""

Ways = Mapping[str, Way]
"""Ways to run a network over all batches, by name."""

Blocks = list[NDArray[Any]]
"""Rows of samples, one array below the other."""


@dataclass
class _Part:
    """What one rank evaluated: indices of samples; by point what the metric keeps, and losses.

    A loss is not a number where a score or the loss itself is not finite.
    """

    indices: list[int] = field(default_factory=list)
    kept: dict[str, Blocks] = field(default_factory=dict)
    losses: dict[str, Blocks] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)


def evaluate(
    network: AnyBitNetwork,
    points: Sequence[OperatingPoint],
    dataset: Dataset,
    ranks: Ranks,
    *,
    batch: int,
    loaders: Loaders | None = None,
) -> Evaluation:
    """Run the network at each of the points over the whole evaluation set; see `evaluate_ways`."""
    ways = {point.name: _always(point) for point in points}
    return evaluate_ways(network, ways, dataset, ranks, batch=batch, loaders=loaders)


@torch.no_grad()
def evaluate_ways(
    network: AnyBitNetwork,
    ways: Ways,
    dataset: Dataset,
    ranks: Ranks,
    *,
    batch: int,
    loaders: Loaders | None = None,
) -> Evaluation:
    """Run the network in several ways over the whole evaluation set.

    Every batch is decoded, and run through the stem, once for all ways. The results of all ranks
    are put in the order of the data set before they are judged, so they do not depend on the number
    of ranks.
    Raises Diverged, on every rank, when scores or losses are not finite.
    """
    average_norm_statistics(network, ranks)
    was_training = network.training
    network.eval()
    part = _run(network, ways, dataset, ranks, batch=batch, loaders=loaders)
    network.train(was_training)
    parts = ranks.gather(part)
    names = list(ways)
    _check_finite(parts, names)
    return _judge(parts, dataset, names)


def _always(point: OperatingPoint) -> Way:
    return lambda _batch: point


def _run(
    network: AnyBitNetwork,
    ways: Ways,
    dataset: Dataset,
    ranks: Ranks,
    *,
    batch: int,
    loaders: Loaders | None,
) -> _Part:
    part = _Part()
    valid: list[Tensor] = []
    on_device = {name: _Outputs(METRICS[dataset.metric].keep) for name in ways}
    items = eval_batches(
        dataset,
        batch=batch,
        rank=ranks.rank,
        world=ranks.world,
        loaders=loaders,
    )
    for number, item in enumerate(items):
        part.broken |= dict(item.broken)
        part.indices += item.indices[item.valid].tolist()
        valid.append(item.valid)
        inputs = item.inputs.to(ranks.device, non_blocking=True)
        shared = network.share(inputs)
        labels = item.labels.to(ranks.device, non_blocking=True)
        for name, outputs in on_device.items():
            logits = network(shared, ways[name](number))
            outputs.add(logits, labels)
    for name, outputs in on_device.items():
        part.kept[name], part.losses[name] = outputs.of(valid)
    return part


class _Outputs:
    """What is kept of the outputs at one point, on the device until the last batch has run."""

    def __init__(self, keep: Callable[[Tensor], Tensor]) -> None:
        self._keep = keep
        self._kept: list[Tensor] = []
        self._losses: list[Tensor] = []

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Keep what counts of a batch's logits (batch, classes)."""
        losses = F.cross_entropy(logits, labels, reduction="none")
        scores = logits.softmax(dim=1)
        self._kept.append(self._keep(scores))
        self._losses.append(losses.where(logits.isfinite().all(dim=1), torch.nan).double())

    def of(self, valid: list[Tensor]) -> tuple[Blocks, Blocks]:
        """Fetch the rows of the valid samples: what the metric keeps, and losses."""
        if not valid:
            return [], []
        rows = torch.cat(valid).numpy()
        kept, losses = (torch.cat(blocks).cpu().numpy() for blocks in (self._kept, self._losses))
        return [kept[rows]], [losses[rows]]


def _check_finite(parts: list[_Part], points: list[str]) -> None:
    lost = [
        point
        for point in points
        if not all(np.isfinite(block).all() for part in parts for block in part.losses[point])
    ]
    if lost:
        raise Diverged(
            f"In the evaluation, scores at {', '.join(lost)} are no longer finite numbers. {ADVICE}"
        )


def _judge(parts: list[_Part], dataset: Dataset, points: list[str]) -> Evaluation:
    indices = np.array([index for part in parts for index in part.indices], dtype=np.int64)
    broken = {source: why for part in parts for source, why in part.broken.items()}
    order = np.argsort(indices, kind="stable")
    targets = [dataset.targets(int(index)) for index in indices[order]]
    rows = []
    for point in points:
        kept = np.concatenate([block for part in parts for block in part.kept[point]])
        losses = np.concatenate([block for part in parts for block in part.losses[point]])
        metric = METRICS[dataset.metric].judge(kept[order], targets)
        rows.append(PointResult(point, metric, float(losses[order].mean())))
    positives = len({label for labels in targets for label in labels})
    classes = (positives, dataset.num_classes) if METRICS[dataset.metric].over_classes else None
    return Evaluation(dataset.metric, tuple(rows), broken, classes)
