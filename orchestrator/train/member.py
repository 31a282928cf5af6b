"""A process of a group of workers that is kept: it trains one leg of a trial after the other."""

import gc
import traceback
from dataclasses import dataclass

import torch

from orchestrator import handover
from orchestrator.errors import Diverged
from orchestrator.events import of_trial
from orchestrator.job.schema import job_from_dict
from orchestrator.job.source import Values
from orchestrator.search.records import How
from orchestrator.store.folder import StorageTrouble
from orchestrator.train import failures, rendezvous, stacks
from orchestrator.train.context import FolderContext
from orchestrator.train.numerics import set_numerics
from orchestrator.train.ranks import LostRank, Ranks
from orchestrator.train.waits import tell_waits
from orchestrator.train.worker import Run, Worker


@dataclass(frozen=True)
class Task:
    """A leg as the members of a group get it. name: of the run, such as t007. job: its values."""

    name: str
    job: Values
    run: Run
    until: int | None


@dataclass(frozen=True)
class Outcome:
    """How a leg ended. reason: of a failure that leaves the group as good as new."""

    how: How
    reason: str = ""


class Member:
    """One rank of a group, once it has joined."""

    def __init__(self) -> None:
        handover.take_up()

    def open_store(self) -> tuple[str, int]:
        """Open the store at which the ranks of the group meet; return its address."""
        return rendezvous.open_store()

    def join(
        self, store: tuple[str, int], *, rank: int, world: int, on_gpu: bool, seconds: int
    ) -> Ranks:
        """Join the group, if it has other members; return this rank, for `train`."""
        device = torch.device("cuda:0" if on_gpu else "cpu")
        if on_gpu:
            torch.cuda.set_device(device)
        if world > 1:
            host, port = store
            rendezvous.join(
                host=host,
                port=port,
                backend="nccl" if on_gpu else "gloo",
                as_rank=rank,
                world=world,
                seconds=seconds,
            )
        return Ranks(rank, world, device)

    def train(self, task: Task, ranks: Ranks) -> Outcome:
        """Train a leg; all that it needed is given back when it ends.

        Raises LostRank when another process is gone, StorageTrouble when the storage is, and
        OrchError for an error of one of several ranks: nobody knows where the others wait, so the
        group is of no further use. The other failures are returned.
        """
        with of_trial(task.name):
            outcome = self._outcome(task, ranks)
        gc.collect()
        if ranks.device.type == "cuda":
            torch.cuda.empty_cache()
        return outcome

    def pulse(self) -> None:
        """Answer, to show that the process is not frozen."""

    def _outcome(self, task: Task, ranks: Ranks) -> Outcome:
        try:
            return Outcome(_train(task, ranks))
        except Diverged as error:  # on all ranks alike
            return Outcome(How.FAILED, str(error))
        except (LostRank, StorageTrouble):
            raise
        except Exception as error:
            if failures.is_lost_process(error):
                raise
            failure = failures.as_failure(error, str(task.run.folder), ranks.rank)
            if ranks.world > 1:
                raise failure from error
            traceback.print_exc()
            return Outcome(How.FAILED, str(failure))


def _train(task: Task, ranks: Ranks) -> How:
    job = job_from_dict(task.job)
    set_numerics(job.training)
    tell_waits(task.run.folder)
    context = FolderContext(task.run.folder, ranks, keep=job.checkpoint.keep)
    search = task.run.folder.name.removesuffix(f".{task.name}")
    with stacks.shown(search, ranks.rank, ranks.world, trial=task.name):
        return Worker(job, task.run, context).run(task.until)
