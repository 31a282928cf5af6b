"""The function that Ray Train calls on each worker, and its argument."""

import logging
from typing import TypedDict

from orchestrator import handover
from orchestrator.job.schema import job_from_dict
from orchestrator.job.source import Values
from orchestrator.search.records import How
from orchestrator.train import failures, stacks
from orchestrator.train.context import RayContext
from orchestrator.train.numerics import set_numerics
from orchestrator.train.ranks import LostRank
from orchestrator.train.waits import tell_waits
from orchestrator.train.worker import Run, Worker


class Left(Exception):
    """The workers were asked to save and end, and others are to be started."""


NO_FAULT = ("entry.Left:", "ranks.LostRank:")
"""In Ray's messages with the traceback of a worker's error: the run itself says what these mean."""


class Config(TypedDict):
    """What each worker gets."""

    job: Values
    run: Run


def train_function(config: Config) -> None:
    """Train as one worker of Ray Train.

    Raises OrchError, which ends the run (see `Patience`), for any error but the loss of another
    process. Ray Train prints it to the log with the traceback.
    """
    logging.getLogger("ray.train.v2._internal.util").addFilter(_is_a_fault)
    run = config["run"]
    context = None
    try:
        handover.take_up()
        job = job_from_dict(config["job"])
        set_numerics(job.training)
        context = RayContext(run.folder, keep=job.checkpoint.keep)
        ranks = context.ranks
        tell_waits(run.folder)
        with stacks.shown(run.folder.name, ranks.rank, ranks.world):
            how = Worker(job, run, context).run()
            ranks.gather(None)  # who ends first would let Ray end rank 0, which may still save
    except LostRank:
        raise
    except Exception as error:
        if failures.is_lost_process(error):
            raise
        rank = context.ranks.rank if context else None
        raise failures.as_failure(error, str(run.folder), rank) from error
    if how is How.STOPPED and not run.folder.stop_is_asked():
        raise Left("The workers have saved, and leave for others.")


def _is_a_fault(record: logging.LogRecord) -> bool:
    return not any(name in record.getMessage() for name in NO_FAULT)
