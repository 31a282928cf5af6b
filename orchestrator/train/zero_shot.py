"""The end of a run: the trained network at bit-widths that its last phase did not train.

The weights' codes lose further bits (CoQuant Eq. 4), and batch norm is calibrated.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from itertools import islice
from typing import Literal

import torch
from torch import Tensor

from models.calibrate import calibrate
from models.networks.base import AnyBitNetwork
from models.precision import FLOAT, OperatingPoint, Precision
from orchestrator.data.loader import train_batches
from orchestrator.events import inform
from orchestrator.job.evaluate import uniform
from orchestrator.job.schema import Job
from orchestrator.plan.batch import BatchPlan
from orchestrator.track.result import EARLIER_PHASE, ZERO_SHOT, PointResult
from orchestrator.train.evaluate import evaluate
from orchestrator.train.ranks import Ranks
from orchestrator.train.setup import Parts


def zero_shot(
    network: AnyBitNetwork, job: Job, parts: Parts, plan: BatchPlan, ranks: Ranks
) -> list[PointResult]:
    """Evaluate a trained network at each point of `job.evaluate`; it stays as it is.

    A point of an earlier phase has batch norm and clip levels of its own; any other one takes those
    of the nearest bit-width of the last phase (zero-shot), in a copy of the network for each.
    Statistics come from training batches, of which each rank runs its own, and are averaged over
    the ranks. Every rank gets the same rows. Raises Diverged as `evaluate` does.
    """
    points = job.evaluate.operating_points
    _announce(
        f"Calibrating batch norm and evaluating at {_listed(points)}, without training ...", ranks
    )
    networks = {point: _copy_at(point, network, job) for point in points}
    calibrate(networks, _inputs(job, parts, plan, ranks))
    rows: list[PointResult] = []
    for point, copy in networks.items():
        found = evaluate(
            copy,
            [point],
            parts.val_set,
            ranks,
            batch=job.cluster.max_batch_per_worker,
            loaders=parts.loaders,
        )
        mark = EARLIER_PHASE if _is_trained(point, job) else ZERO_SHOT
        rows += (row._replace(calibrated=mark) for row in found.rows)
    return rows


def _copy_at(point: OperatingPoint, network: AnyBitNetwork, job: Job) -> AnyBitNetwork:
    copy = deepcopy(network)
    if _is_trained(point, job):
        return copy
    sources, rule = uniform(job.phase_jobs()[-1].points), job.evaluate.zero_shot_source
    ties: Literal["high", "low"] = "low" if rule == "low" else "high"
    copy.add(point.precision, point.precision.nearest(sources, ties))
    if rule == "mean":
        _average_clip_levels(copy, point.precision, sources)
    return copy


@torch.no_grad()
def _average_clip_levels(
    network: AnyBitNetwork, precision: Precision, sources: Sequence[Precision]
) -> None:
    """Set clip levels to the means of those of the next more and the next fewer activation bits.

    Beyond the last of `sources` both are its own. Shared clip levels, and none at all, stay.
    """
    levels, bits = network.clip_levels(), precision.activations
    if precision.label not in levels:
        return
    trained = [source for source in sources if source.activations != FLOAT]
    above = min((s for s in trained if s.activations >= bits), key=_activations, default=None)
    below = max((s for s in trained if s.activations <= bits), key=_activations, default=None)
    both = [levels[source.label] for source in (above or below, below or above) if source]
    for level, high, low in zip(levels[precision.label], *both, strict=True):
        level.copy_((high + low) / 2)


def _activations(precision: Precision) -> int:
    return precision.activations


def _is_trained(point: OperatingPoint, job: Job) -> bool:
    """Return whether a phase trains the whole network at a point."""
    return any(point.name == trained.name for trained in job.points)


def calibrate_in_place(
    network: AnyBitNetwork, job: Job, parts: Parts, plan: BatchPlan, ranks: Ranks
) -> None:
    """Give each point's batch norm the statistics of training batches, different on each rank."""
    _announce(f"Calibrating batch norm at {_listed(job.points)} ...", ranks)
    calibrate(dict.fromkeys(job.points, network), _inputs(job, parts, plan, ranks))


def _announce(message: str, ranks: Ranks) -> None:
    if ranks.is_first:
        inform(message)


def _listed(points: Sequence[OperatingPoint]) -> str:
    return ", ".join(point.name for point in points)


def _inputs(job: Job, parts: Parts, plan: BatchPlan, ranks: Ranks) -> Iterator[Tensor]:
    """Yield this rank's passes of the first global batches of the epoch that follows the last."""
    steps = train_batches(
        parts.train_set,
        plan,
        rank=ranks.rank,
        seed=job.seed,
        epoch=job.epochs,
        loaders=parts.loaders,
    )
    for batches in islice(steps, job.evaluate.calibration_batches):
        for batch in batches:
            yield batch.inputs.to(ranks.device, non_blocking=True)
