"""Weights that another job is still to train: whether a job can start or learn from them.

Both networks are built without numbers, and compared as the weights would be.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import torch

from models.checkpoint_weights import check_checkpoint_weights
from models.float_weights import check_float_weights
from models.networks.base import AnyBitNetwork
from orchestrator.job.schema import Job
from orchestrator.prepare.build import build_network
from orchestrator.prepare.start import check_codes
from orchestrator.prepare.teacher import KEY, build_teacher, named_teachers

_CLASSES = 1
"""Of both networks: how many there are is known when data are opened, on the cluster perhaps."""


def unfit(job: Job, sources: Mapping[str, Job]) -> Iterator[str]:
    """Yield why a job cannot start or learn from weights that will be of another network.

    sources: the jobs that train them, by the folders of their runs. The number of classes is not
    compared.
    """
    start = job.start
    if start.source != "scratch" and (source := sources.get(start.weights or "")):
        build = partial(build_network, job, _CLASSES)
        problem = _unlike(build, job, start.source, source)
        if problem:
            yield f"start.weights: {problem}"
    for phase, method in named_teachers(job.phase_jobs()):
        wanted = method.wanted_teacher
        if wanted is None or not (source := sources.get(wanted.weights or "")):
            continue
        build = partial(build_teacher, wanted, phase, _CLASSES)
        if problem := _unlike(build, phase, wanted.source, source, teaches=True):
            yield f"{KEY}: {problem}"


def _unlike(
    build: Callable[[], AnyBitNetwork],
    job: Job,
    kind: str,
    source: Job,
    *,
    teaches: bool = False,
) -> str:
    """Return why the weights that a job will have do not fit the network that is built.

    Code of the user's own may need numbers to build one: nothing is known then until it runs.
    """
    try:
        with torch.device("meta"):
            network, trained = build(), build_network(source, _CLASSES)
    except Exception:
        return ""
    try:
        if kind == "float":
            check_float_weights(network, trained)
            return ""
        borrow = not job.method.trains
        if borrow and not teaches:
            check_codes(network, source)
        fresh = check_checkpoint_weights(network, trained, borrow=borrow).wholly
    except ValueError as error:
        return f"{source.name} will not do: {error}."
    if fresh and teaches:
        return f"{source.name} is not trained at {', '.join(fresh)}, and a teacher must be."
    return ""
