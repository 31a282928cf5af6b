"""Top-1 or mAP at every bit-width, over all ranks, each sample counted once."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from models.networks.base import AnyBitNetwork
from orchestrator.data import Dataset
from orchestrator.data.image_transforms import normalize
from orchestrator.data.loader import eval_batches
from orchestrator.errors import Diverged
from orchestrator.train.gradients import ADVICE, average_norm_statistics
from orchestrator.train.ranks import Ranks
from orchestrator.train.scores import METRICS


@dataclass
class Evaluation:
    """Results by bit-width: metric in per cent, loss as mean cross-entropy; broken samples."""

    metric_name: str
    metric: dict[int, float]
    loss: dict[int, float]
    broken: dict[str, str]
    samples: int


@dataclass
class _Part:
    """What one rank saw: the samples' indices; per bit-width what the metric keeps, and losses.

    diverged: the bit-widths at which a score or a loss was no finite number.
    """

    indices: list[int] = field(default_factory=list)
    kept: dict[int, list[Any]] = field(default_factory=dict)
    losses: dict[int, list[float]] = field(default_factory=dict)
    diverged: set[int] = field(default_factory=set)
    broken: dict[str, str] = field(default_factory=dict)


@torch.no_grad()
def evaluate(
    network: AnyBitNetwork, dataset: Dataset, ranks: Ranks, *, batch: int, loader_workers: int = 0
) -> Evaluation:
    """Run the network at each of its bit-widths over the whole evaluation set.

    Every batch is decoded once and run at all bit-widths. The results of all ranks are put in the
    order of the data set before they are judged, so they do not depend on the number of ranks.
    Raises Diverged, on every rank, when a bit-width gives scores or losses that are no numbers.
    """
    average_norm_statistics(network, ranks)
    was_training = network.training
    network.eval()
    part = _run(network, dataset, ranks, batch=batch, loader_workers=loader_workers)
    network.train(was_training)
    parts = ranks.gather(part)
    _check_finite(parts)
    return _judge(parts, dataset, network.bit_widths)


def _run(
    network: AnyBitNetwork, dataset: Dataset, ranks: Ranks, *, batch: int, loader_workers: int
) -> _Part:
    part = _Part(
        kept={bits: [] for bits in network.bit_widths},
        losses={bits: [] for bits in network.bit_widths},
    )
    keep = METRICS[dataset.metric].keep
    dtype = next(network.parameters()).dtype
    for item in eval_batches(
        dataset, batch=batch, rank=ranks.rank, world=ranks.world, num_workers=loader_workers
    ):
        part.broken |= dict(item.broken)
        part.indices += item.indices[item.valid].tolist()
        valid = item.valid.to(ranks.device)
        inputs = normalize(item.inputs.to(ranks.device), dataset.mean, dataset.std, dtype)
        labels = item.labels.to(ranks.device)
        for bits in network.bit_widths:
            logits = network(inputs, bits)
            losses = F.cross_entropy(logits, labels, reduction="none")
            scores = logits.softmax(dim=1)
            part.losses[bits] += losses[valid].tolist()
            part.kept[bits].append(keep(scores[valid].cpu().numpy()))
            if not torch.isfinite(torch.cat([logits, losses[:, None]], dim=1)[valid]).all():
                part.diverged.add(bits)
    return part


def _check_finite(parts: list[_Part]) -> None:
    lost = sorted({bits for part in parts for bits in part.diverged}, reverse=True)
    if lost:
        raise Diverged(
            f"In the evaluation, scores at {', '.join(map(str, lost))} bits are not finite numbers "
            f"any more. {ADVICE}"
        )


def _judge(parts: list[_Part], dataset: Dataset, bit_widths: tuple[int, ...]) -> Evaluation:
    indices = np.array([index for part in parts for index in part.indices], dtype=np.int64)
    broken = {source: why for part in parts for source, why in part.broken.items()}
    order = np.argsort(indices, kind="stable")
    targets = [dataset.targets(int(index)) for index in indices[order]]
    metric: dict[int, float] = {}
    loss: dict[int, float] = {}
    for bits in bit_widths:
        kept = np.concatenate([block for part in parts for block in part.kept[bits]])
        metric[bits] = METRICS[dataset.metric].judge(kept[order], targets)
        losses = np.array([value for part in parts for value in part.losses[bits]])
        loss[bits] = float(losses[order].mean())
    return Evaluation(dataset.metric, metric, loss, broken, len(indices))
