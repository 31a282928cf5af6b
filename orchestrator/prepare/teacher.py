"""The network that a method learns from: built for a job, with weights that are read once."""

from collections.abc import Iterator, Sequence

import torch

import models
from models.checkpoint_weights import load_checkpoint_weights
from models.methods.base import Method, WantedTeacher
from models.networks.base import AnyBitNetwork
from models.precision import precisions_of
from orchestrator.data import input_scale
from orchestrator.errors import CheckpointMismatch
from orchestrator.job.schema import Job
from orchestrator.job.start import Start
from orchestrator.job.weights import no_weights
from orchestrator.prepare.build import build_method
from orchestrator.prepare.start import is_there, start

KEY = "method.teacher_weights"


def give_teacher(
    method: Method,
    job: Job,
    num_classes: int,
    *,
    trained: bool,
    own: AnyBitNetwork | None = None,
) -> None:
    """Give a method the network that teaches it, if it wants one.

    trained: with its weights; those of a phase that goes on are in its checkpoint. own: they are
    this network's instead of those that the job names. Raises CheckpointMismatch, in one line, for
    weights that cannot be read, or do not fit the network or all that it runs at.
    """
    wanted = method.wanted_teacher
    if wanted is None:
        return
    network = build_teacher(wanted, job, num_classes)
    if trained and own is not None:
        load_checkpoint_weights(network, own.state_dict())
    elif trained:
        lacking = start(network, _started_from(wanted, job), key=KEY)
        if lacking:
            raise CheckpointMismatch(f"{KEY}: a teacher must be trained. {lacking}")
    method.take_teacher(network)


def build_teacher(wanted: WantedTeacher, job: Job, num_classes: int) -> AnyBitNetwork:
    """Build the network of a teacher, with random weights."""
    mean, std = input_scale(job.data)
    with torch.random.fork_rng(devices=[]):
        return models.build_network(
            job.model,
            job.quantizer,
            precisions=(wanted.precision,),
            num_classes=num_classes,
            layout=wanted.layout,
            mean=mean,
            std=std,
        )


def has_own_teacher(jobs: Sequence[Job], number: int) -> bool:
    """Return whether the teacher of a phase (from 0) is the network of an earlier one of its run.

    So it is where no weights are named and the phase before trained at the precision of the
    teacher, or learned from such a network itself.
    """
    wanted = build_method(jobs[number]).wanted_teacher
    if wanted is None or wanted.weights is not None or number == 0:
        return False
    before = jobs[number - 1]
    if wanted.source == "checkpoint" and wanted.precision in precisions_of(before.points):
        return True
    return build_method(before).wanted_teacher == wanted and has_own_teacher(jobs, number - 1)


def own_teacher(
    jobs: Sequence[Job], number: int, network: AnyBitNetwork, before: Method
) -> AnyBitNetwork | None:
    """Return the network of this run from which a phase learns, None if it does not from any.

    network: as the phase before left it. before: the method of that phase.
    """
    wanted = build_method(jobs[number]).wanted_teacher
    if wanted is None or not has_own_teacher(jobs, number):
        return None
    now = wanted.precision in precisions_of(jobs[number - 1].points)
    return network if now else before.teacher


def named_teachers(jobs: Sequence[Job]) -> Iterator[tuple[Job, Method]]:
    """Yield the phases whose teacher, if they want one, is to be named; each with its method."""
    for number, job in enumerate(jobs):
        if not has_own_teacher(jobs, number):
            yield job, build_method(job)


def missing_teacher(method: Method) -> str:
    """Return what is wrong with the place of a teacher's weights, or nothing."""
    wanted = method.wanted_teacher
    if wanted is None:
        return ""
    if wanted.weights is None:
        return f"{KEY}: the method wants a teacher and no file or run is named; give one, or none."
    if not is_there(wanted.weights):
        return f"{KEY}: {no_weights(wanted.weights)}"
    return ""


def _started_from(wanted: WantedTeacher, job: Job) -> Job:
    """Return the job as one that starts from the teacher's weights."""
    given = Start(source=wanted.source, weights=wanted.weights)
    return job.model_copy(update={"start": given})
