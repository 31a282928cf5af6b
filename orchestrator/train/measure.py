"""The metrics of one epoch, under the names that MLflow keeps them by."""

from models.networks.base import AnyBitNetwork
from orchestrator.track import keys
from orchestrator.track.result import Result
from orchestrator.train.evaluate import Evaluation
from orchestrator.train.tally import Tally


def epoch_metrics(
    network: AnyBitNetwork,
    tally: Tally,
    evaluation: Evaluation,
    result: Result,
    losses: dict[int, float],
    rates: dict[str, float],
    seconds: float,
) -> dict[str, float]:
    """Return everything that is recorded of an epoch, the results first, as MLflow shows it.

    losses: mean training loss by bit-width. rates: learning rate of the last step by group.
    seconds: of training, without the evaluation.
    """
    metrics = {keys.metric(evaluation.metric_name, b): v for b, v in evaluation.metric.items()}
    if result.delta_b is not None:
        metrics[keys.DELTA_B] = result.delta_b
    metrics |= {keys.val_loss(bits): value for bits, value in evaluation.loss.items()}
    metrics |= {keys.loss(bits): value for bits, value in losses.items()}
    metrics |= {keys.teacher_share(*pair): v for pair, v in tally.teacher_shares().items()}
    metrics |= {keys.learning_rate(group): rate for group, rate in rates.items()}
    for bits, levels in network.clip_levels().items():
        values = [level.item() for level in levels]
        metrics[keys.clip_level(bits, "min")] = min(values)
        metrics[keys.clip_level(bits, "mean")] = sum(values) / len(values)
    metrics[keys.THROUGHPUT] = tally.samples / max(seconds, 1e-9)
    metrics[keys.EPOCH_SECONDS] = seconds
    metrics[keys.BROKEN_TRAIN] = float(len(tally.broken))
    metrics[keys.BROKEN_VAL] = float(len(evaluation.broken))
    return metrics
