"""In what a run computes: in integers where the processor of every rank adds them up exactly."""

import platform
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from models.kernels import EXACT, Kernel, has_bfloat16, kernel_for
from orchestrator import events
from orchestrator.errors import UsageError
from orchestrator.job.schema import Job, Training
from orchestrator.run_facts import Events, facts_of
from orchestrator.store.run_folder import RunFolder
from orchestrator.train.numerics import DTYPES
from orchestrator.train.ranks import Ranks
from orchestrator.wording import arithmetic_phrase


@dataclass(frozen=True)
class Arithmetic:
    """How a rank computes, and what the run states about it.

    kernel: convolves codes in quantized layers, None for values. dtype: of the backward passes of
    these layers, and of their forward passes on values. warnings: of what a job could expect here
    and does not get.
    """

    kernel: Kernel | None
    dtype: torch.dtype
    stated: events.Arithmetic
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Offer:
    """What the processor of a rank can do. place: the rank and its node."""

    place: str
    kernel: Kernel | None
    bfloat16: bool


def choose(job: Job, ranks: Ranks) -> Arithmetic:
    """Return the arithmetic of a job, of the same kind on all ranks, each of which calls this.

    Raises UsageError when the job asks for integers and a rank has no exact kernel.
    """
    training = job.training
    if training.arithmetic == "float":
        return _in_floats(training, "as the job says")
    if not job.multiplies_codes:
        return _in_floats(training, "no operating point quantizes both weights and activations")
    kernel = kernel_for(ranks.device)
    offers = ranks.gather(_offer(kernel, ranks))
    lacking = ", ".join(offer.place for offer in offers if offer.kernel is None)
    if kernel is not None and not lacking:
        return _in_integers(training, kernel, offers)
    problem = f"no kernel adds up whole numbers exactly on {lacking}"
    if training.arithmetic == "integer":
        raise UsageError(
            f"training.arithmetic: integer is not possible, {problem}. With auto, the job computes "
            "in floats there."
        )
    return _in_floats(training, problem, f"The run computes in floats, more slowly: {problem}.")


def announce(chosen: Arithmetic, folder: RunFolder) -> None:
    """State how a run computes, with its warnings, and if it did before with other roundings."""
    before, now = facts_of(folder).arithmetic, chosen.stated
    for warning in chosen.warnings:
        events.warn(warning)
    if before and _rounding(before) != _rounding(now):
        events.warn(
            f"Until now, it computed in {arithmetic_phrase(before)}: the results differ by "
            "roundings from an uninterrupted run's."
        )
    Events(folder).say(now)


def _rounding(stated: events.Arithmetic) -> tuple[str, str]:
    return stated.sums, stated.backward


def _offer(kernel: Kernel | None, ranks: Ranks) -> _Offer:
    place = f"rank {ranks.rank} ({ranks.device} of {platform.node()})"
    return _Offer(place, kernel, has_bfloat16(ranks.device))


def _in_floats(training: Training, reason: str, *warnings: str) -> Arithmetic:
    stated = events.Arithmetic(kind="float", backward=training.precision, reason=reason)
    return Arithmetic(None, DTYPES[training.precision], stated, warnings)


def _in_integers(training: Training, kernel: Kernel, offers: list[_Offer]) -> Arithmetic:
    """Return the arithmetic of a kernel; what takes longer in bfloat16 goes in float32."""
    lacking = [offer.place for offer in offers if not offer.bfloat16]
    backward = training.precision
    warnings: tuple[str, ...] = ()
    if training.precision == "bfloat16" and lacking:
        backward = "float32"
        reason = f"bfloat16 would take longer on {', '.join(lacking)}"
        warnings = (f"training.precision: backward passes are in float32, {reason}.",)
    kernels = [offer.kernel for offer in offers if offer.kernel is not None]
    exact = _listed(EXACT[own.sums] for own in kernels)
    stated = events.Arithmetic(
        kind="integer",
        kernel=_listed(own.name for own in kernels),
        sums=_listed(own.sums for own in kernels),
        backward=backward,
        reason=f"{exact}, on every rank",
    )
    return Arithmetic(kernel, DTYPES[backward], stated, warnings)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(set(words)))
