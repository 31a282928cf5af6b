"""The metrics of one epoch, by their names in MLflow."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

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
    metrics |= _over_layers(network.clip_levels(), keys.clip_level)
    metrics |= _over_layers(network.weight_steps(), keys.weight_step)
    metrics |= _over_layers(network.input_steps(), keys.input_step)
    if tally.samples:
        metrics[keys.THROUGHPUT] = tally.samples / max(seconds, 1e-9)
        metrics[keys.EPOCH_SECONDS] = seconds
        metrics[keys.DATA_SHARE] = tally.waited / max(seconds, 1e-9)
    metrics[keys.BROKEN_TRAIN] = float(len(tally.broken))
    metrics[keys.BROKEN_VAL] = float(len(evaluation.broken))
    return metrics


def _over_layers(
    learned: Mapping[str, Sequence[Tensor]], key: Callable[[str, str], str]
) -> dict[str, float]:
    """Return the smallest and the mean of what quantizers have learned, under each name."""
    metrics: dict[str, float] = {}
    for name, of_layers in learned.items():
        values = torch.stack([*of_layers]).tolist()
        metrics[key(name, "min")] = min(values)
        metrics[key(name, "mean")] = sum(values) / len(values)
    return metrics


def point_metrics(metric_name: str, rows: Sequence[PointResult]) -> dict[str, float]:
    """Return what is recorded of an evaluation, the metric at every point first."""
    metrics = {keys.metric(metric_name, row.point): row.metric for row in rows}
    metrics |= {keys.val_loss(row.point): row.loss for row in rows}
    return metrics | {keys.spread(row.point): row.spread for row in rows if row.spread is not None}
