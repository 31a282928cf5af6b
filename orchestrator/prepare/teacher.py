"""The network that a method learns from: built for a job, with weights that are read once."""

from pathlib import Path

import torch

import models
from models.methods.base import Method, WantedTeacher
from orchestrator.data import input_scale
from orchestrator.errors import CheckpointMismatch
from orchestrator.job.schema import Job
from orchestrator.job.start import Start
from orchestrator.prepare.start import start

KEY = "method.teacher_weights"


def give_teacher(method: Method, job: Job, num_classes: int, *, trained: bool) -> None:
    """Give a method the network that teaches it, if it wants one.

    trained: with its weights; those of a phase that goes on are in its checkpoint. Raises
    CheckpointMismatch, in one line, for weights that cannot be read, or do not fit the network or
    all that it runs at.
    """
    wanted = method.wanted_teacher
    if wanted is None:
        return
    mean, std = input_scale(job.data)
    with torch.random.fork_rng(devices=[]):
        network = models.build_network(
            job.model,
            job.quantizer,
            precisions=(wanted.precision,),
            num_classes=num_classes,
            layout=wanted.layout,
            mean=mean,
            std=std,
        )
    if trained:
        lacking = start(network, _started_from(wanted, job), key=KEY)
        if lacking:
            raise CheckpointMismatch(f"{KEY}: a teacher must be trained. {lacking}")
    method.take_teacher(network)


def missing_teacher(method: Method) -> str:
    """Return what is wrong with the place of a teacher's weights, or nothing."""
    wanted = method.wanted_teacher
    if wanted is None:
        return ""
    if wanted.weights is None:
        return f"{KEY}: the method wants a teacher and no file or run is named; give one, or none."
    if not wanted.weights.exists():
        return f"{KEY}: there is no file and no run called {wanted.weights}."
    return ""


def _started_from(wanted: WantedTeacher, job: Job) -> Job:
    """Return the job as one that starts from the teacher's weights."""
    weights = wanted.weights or Path()
    return job.model_copy(update={"start": Start(source=wanted.source, weights=weights)})
