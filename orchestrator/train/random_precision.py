"""The end of a run: the trained network at a precision for each layer and batch, drawn at random.

Each batch of the evaluation set has a fresh draw (Bit-Mixer, "Rand.").
"""

import statistics
from collections.abc import Callable

from models.mixed import draw_assignment, generator_of
from models.networks.base import AnyBitNetwork
from models.precision import Assignment
from orchestrator.job.evaluate import RANDOM, RandomPrecision, drawn_from
from orchestrator.job.schema import Job
from orchestrator.track.result import PointResult
from orchestrator.train.evaluate import evaluate_ways
from orchestrator.train.ranks import Ranks
from orchestrator.train.setup import Parts


def random_precision(
    network: AnyBitNetwork, job: Job, given: RandomPrecision, parts: Parts, ranks: Ranks
) -> PointResult:
    """Evaluate a network as often as `given` says; return the means, and the metric's spread.

    A draw depends on the job's seed, the pass and the number of the batch: it is the same on all
    ranks, whose batches of one number are one batch. Every rank gets the same row. Raises Diverged
    as `evaluate` does.
    """
    precisions = drawn_from(given, job.phase_jobs()[-1].points)
    layers = len(network.quantized_layers)

    def draws(number: int) -> Callable[[int], Assignment]:
        return lambda batch: draw_assignment(
            precisions, layers, generator_of(job.seed, number, batch)
        )

    rows = evaluate_ways(
        network,
        {f"pass {number + 1}": draws(number) for number in range(given.passes)},
        parts.val_set,
        ranks,
        batch=job.cluster.max_batch_per_worker,
        loaders=parts.loaders,
    ).rows
    metrics = [row.metric for row in rows]
    return PointResult(
        RANDOM,
        statistics.fmean(metrics),
        statistics.fmean(row.loss for row in rows),
        spread=statistics.stdev(metrics) if len(metrics) > 1 else 0.0,
    )
