"""The end of a run: the results besides those of the trained points."""

from models.networks.base import AnyBitNetwork
from orchestrator.events import inform
from orchestrator.job.schema import Job
from orchestrator.plan.batch import BatchPlan
from orchestrator.track.result import PointResult
from orchestrator.train.random_precision import random_precision
from orchestrator.train.ranks import Ranks
from orchestrator.train.setup import Parts
from orchestrator.train.zero_shot import zero_shot


def last_rows(
    network: AnyBitNetwork, job: Job, parts: Parts, plan: BatchPlan, ranks: Ranks
) -> list[PointResult]:
    """Evaluate the chosen weights as `job.evaluate` says; every rank gets the same rows."""
    wanted, rows = job.evaluate, []
    if wanted.points:
        rows += zero_shot(network, job, parts, plan, ranks)
    if wanted.random is not None:
        _inform(ranks, "Evaluating at a random precision for each layer and batch ...")
        rows.append(random_precision(network, job, wanted.random, parts, ranks))
    return rows


def _inform(ranks: Ranks, message: str) -> None:
    if ranks.is_first:
        inform(message)
