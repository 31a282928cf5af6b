"""The metrics of one epoch, by their names in MLflow."""

from collections.abc import Sequence

import torch

from models.networks.base import AnyBitNetwork
from orchestrator.track import keys
from orchestrator.track.result import PointResult, Result
from orchestrator.train.evaluate import Evaluation
from orchestrator.train.tally import Tally


def epoch_metrics(
    network: AnyBitNetwork,
    tally: Tally,
    evaluation: Evaluation,
    result: Result,
    losses: dict[str, float],
    rates: dict[str, float],
    seconds: float,
) -> dict[str, float]:
    """Return everything that is recorded for an epoch, the results first.

    Of weights that nothing trained there are no losses, rates and speeds.

    losses: mean training loss by operating point. rates: learning rate of the last step, by role.
    seconds: of training, without the evaluation.
    """
    metrics = point_metrics(result.metric_name, result.rows)
    if result.delta_b is not None:
        metrics[keys.DELTA_B] = result.delta_b
    metrics |= {keys.loss(point): value for point, value in losses.items()}
    metrics |= {keys.teacher_share(*pair): v for pair, v in tally.teacher_shares().items()}
    metrics |= {keys.learning_rate(role): rate for role, rate in rates.items()}
    for precision, levels in network.clip_levels().items():
        values = torch.stack([*levels]).tolist()
        metrics[keys.clip_level(precision, "min")] = min(values)
        metrics[keys.clip_level(precision, "mean")] = sum(values) / len(values)
    if tally.samples:
        metrics[keys.THROUGHPUT] = tally.samples / max(seconds, 1e-9)
        metrics[keys.EPOCH_SECONDS] = seconds
    metrics[keys.BROKEN_TRAIN] = float(len(tally.broken))
    metrics[keys.BROKEN_VAL] = float(len(evaluation.broken))
    return metrics


def point_metrics(metric_name: str, rows: Sequence[PointResult]) -> dict[str, float]:
    """Return what is recorded of an evaluation, the metric at every point first."""
    metrics = {keys.metric(metric_name, row.point): row.metric for row in rows}
    metrics |= {keys.val_loss(row.point): row.loss for row in rows}
    return metrics | {keys.spread(row.point): row.spread for row in rows if row.spread is not None}
