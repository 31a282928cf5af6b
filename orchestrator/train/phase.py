"""A phase of a run: its method, its optimizer, and the loop that trains with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch

from models.methods.base import Method
from models.roles import roles
from orchestrator.job.schema import Job
from orchestrator.prepare.build import build_method
from orchestrator.prepare.teacher import give_teacher, own_teacher
from orchestrator.train.epoch import Loop
from orchestrator.train.optimizers import build_optimizer
from orchestrator.train.ranks import Ranks
from orchestrator.train.schedules import factor
from orchestrator.train.setup import Parts
from orchestrator.train.targets import smoothed


@dataclass(frozen=True)
class Phase:
    """A phase of a run.

    number: from 0. job: in this phase. epochs_before: epochs of all phases before it.
    """

    number: int
    job: Job
    epochs_before: int
    loop: Loop

    @property
    def epochs(self) -> int:
        """How many epochs the phase has; one without a step for a method that does not train."""
        return self.job.training.epochs if self.job.method.trains else 1

    @property
    def method(self) -> Method:
        """The method that trains."""
        return self.loop.method

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The optimizer, which starts fresh in each phase."""
        return self.loop.optimizer


def build_phase(
    jobs: Sequence[Job],
    number: int,
    parts: Parts,
    ranks: Ranks,
    steps_per_epoch: int,
    *,
    before: Method | None = None,
    resumed: bool = False,
) -> Phase:
    """Build a phase of a run; its method is equal on all ranks.

    jobs: of all phases, in order. before: the method of the phase that has just ended, if one has.
    resumed: what the method has is in a checkpoint, its teacher included. Raises
    CheckpointMismatch as `give_teacher` does.
    """
    job = jobs[number]
    classes = parts.train_set.num_classes
    method = build_method(job)
    own = own_teacher(jobs, number, parts.network, before) if before else None
    give_teacher(method, job, classes, trained=not resumed, own=own)
    method.to(ranks.device)
    named = roles(parts.network, method)
    epochs_before = sum(earlier.training.epochs for earlier in jobs[:number])
    loop = Loop(
        network=parts.network,
        method=method,
        optimizer=build_optimizer(named, job.optimizer, losses=method.passes),
        schedule=partial(factor, job.optimizer),
        targets=partial(smoothed, share=job.training.label_smoothing, classes=classes),
        ranks=ranks,
        seed=job.seed,
        phase=number,
        epochs_before=epochs_before,
        epochs=job.training.epochs,
        steps_per_epoch=steps_per_epoch,
    )
    return Phase(number, job, epochs_before, loop)
