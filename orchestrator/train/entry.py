"""The function that Ray Train calls on each worker, and its argument."""

from typing import TypedDict

from orchestrator import handover
from orchestrator.job.schema import job_from_dict
from orchestrator.job.source import Values
from orchestrator.train import failures, stacks
from orchestrator.train.context import RayContext
from orchestrator.train.numerics import set_numerics
from orchestrator.train.ranks import LostRank
from orchestrator.train.worker import Run, Worker


class Config(TypedDict):
    """What each worker gets."""

    job: Values
    run: Run


def train_function(config: Config) -> None:
    """Train as one worker of Ray Train.

    Raises OrchError, which ends the run (see `Patience`), for any error but the loss of another
    process. Ray Train prints it to the log with the traceback.
    """
    run = config["run"]
    context = None
    try:
        handover.take_up()
        job = job_from_dict(config["job"])
        set_numerics(job.training)
        context = RayContext(run.folder, keep=job.checkpoint.keep)
        ranks = context.ranks
        with stacks.shown(run.folder.name, ranks.rank, ranks.world):
            Worker(job, run, context).run()
    except LostRank:
        raise
    except Exception as error:
        if failures.is_lost_process(error):
            raise
        rank = context.ranks.rank if context else None
        raise failures.as_failure(error, run.folder.path, rank) from error
