"""The end of a run: the results besides those of the trained points."""

from copy import deepcopy

from orchestrator.events import inform
from orchestrator.job.schema import Job
from orchestrator.plan.batch import BatchPlan
from orchestrator.store.run_folder import RunFolder
from orchestrator.track.result import PointResult, Result
from orchestrator.train.random_precision import random_precision
from orchestrator.train.ranks import Ranks
from orchestrator.train.setup import Parts
from orchestrator.train.state import load_weights
from orchestrator.train.zero_shot import zero_shot


def last_rows(
    chosen: Result, job: Job, parts: Parts, plan: BatchPlan, ranks: Ranks, folder: RunFolder
) -> list[PointResult]:
    """Evaluate the chosen weights as `job.evaluate` says; every rank gets the same rows.

    chosen: what they reached at the trained points. Those of the best epoch are its copy in the
    run's folder.
    """
    wanted, rows = job.evaluate, list[PointResult]()
    if not wanted.wants_more:
        return rows
    network = parts.network
    if job.checkpoint.select == "best":
        network = deepcopy(network)
        with folder.best_copy(chosen.epoch + 1).here() as best:
            load_weights(best, network)
    if wanted.points:
        rows += zero_shot(network, job, parts, plan, ranks)
    if wanted.random is not None:
        _inform(ranks, "Evaluating at a random precision for each layer and batch ...")
        rows.append(random_precision(network, job, wanted.random, parts, ranks))
    return rows


def _inform(ranks: Ranks, message: str) -> None:
    if ranks.is_first:
        inform(message)
