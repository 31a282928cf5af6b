"""The sums of one epoch: losses, teachers and speed; part of a checkpoint within an epoch."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from orchestrator.errors import Diverged
from orchestrator.train.gradients import ADVICE
from orchestrator.train.ranks import Ranks


@dataclass(frozen=True)
class TallyState:
    """The sums of one rank in the middle of an epoch, in a checkpoint.

    loss, passes: by point. teachers: number of passes by (student, teacher). These are passes of
    the size that they had then. samples: of all ranks.
    waited: seconds, of those of the epoch, until batches were loaded.
    """

    loss: dict[str, float]
    passes: dict[str, float]
    teachers: dict[tuple[str, str], float]
    seconds: float
    samples: int
    broken: dict[str, str]
    waited: float = 0.0


class Tally:
    """Sums over the passes of an epoch on this rank, and the names of broken samples.

    Everything is kept by the names of the method's losses, mostly operating points, in their order;
    the losses stay on their device, from which they are fetched together.
    """

    def __init__(self, names: Sequence[str], device: torch.device) -> None:
        self._passes: dict[str, float] = dict.fromkeys(names, 0)
        self._losses = torch.zeros(len(self._passes), dtype=torch.float64, device=device)
        self._loss = dict(zip(self._passes, self._losses.unbind(), strict=True))
        self._teachers: dict[tuple[str, str], float] = {}
        self._seconds_before = 0.0
        self._start = time.monotonic()
        self.samples = 0
        self.waited = 0.0
        self.broken: dict[str, str] = {}

    def add(self, point: str, loss: Tensor, teacher: str | None) -> None:
        """Count one pass at an operating point; nothing waits for the loss."""
        self._loss[point] += loss.detach()
        self._passes[point] += 1
        if teacher is not None:
            pair = (point, teacher)
            self._teachers[pair] = self._teachers.get(pair, 0) + 1

    @property
    def seconds(self) -> float:
        """Seconds spent on this epoch, including those before an interruption."""
        return self._seconds_before + time.monotonic() - self._start

    @property
    def data_share(self) -> float:
        """The share of the epoch's time that this rank has waited for its batches."""
        return self.waited / max(self.seconds, 1e-9)

    def total_loss(self) -> Tensor:
        """Return the sum of all losses on this rank, on its device; finite if all of them are."""
        return self._losses.sum()

    def local_losses(self) -> dict[str, float]:
        """Return the mean loss of each point that has run so far, on this rank."""
        return _means(self._passes, self._losses.tolist(), list(self._passes.values()))

    def mean_losses(self, ranks: Ranks) -> dict[str, float]:
        """Return the mean loss over all ranks of each point that has run.

        Raises Diverged, on every rank, when one is not a finite number.
        """
        passes = self._losses.new_tensor(list(self._passes.values()))
        sums, counts = ranks.sum(torch.stack([self._losses, passes])).tolist()
        means = _means(self._passes, sums, counts)
        _check_finite(means)
        return means

    def check_finite(self, ranks: Ranks) -> None:
        """Raise Diverged, on every rank, when the loss at a point is not a finite number."""
        self.mean_losses(ranks)

    def teacher_shares(self) -> dict[tuple[str, str], float]:
        """Return for each (student, teacher) the share of passes with that teacher."""
        passes: dict[str, float] = {}
        for (student, _), count in self._teachers.items():
            passes[student] = passes.get(student, 0) + count
        return {pair: count / passes[pair[0]] for pair, count in self._teachers.items()}

    def state(self) -> TallyState:
        """Return the sums so far."""
        return TallyState(
            loss=dict(zip(self._passes, self._losses.tolist(), strict=True)),
            passes=dict(self._passes),
            teachers=dict(self._teachers),
            seconds=self.seconds,
            samples=self.samples,
            broken=dict(self.broken),
            waited=self.waited,
        )

    def restore(
        self, states: Sequence[TallyState], *, rank: int, world: int, each: float = 1.0
    ) -> None:
        """Continue from the sums of all ranks in a checkpoint.

        Each rank takes its own; with another number of ranks, rank 0 takes those of all. each: for
        how many passes one of these counts, which may have had more samples.
        """
        own = [states[rank]] if world == len(states) else states if rank == 0 else []
        for state in own:
            for point, value in state.loss.items():
                self._loss[point] += each * value
                self._passes[point] += each * state.passes[point]
            for pair, count in state.teachers.items():
                self._teachers[pair] = self._teachers.get(pair, 0) + each * count
            self.broken |= state.broken
        self._seconds_before = states[0].seconds
        self._start = time.monotonic()
        self.samples = states[0].samples
        self.waited = states[0].waited


def _means(
    points: Iterable[str], sums: Sequence[float], counts: Sequence[float]
) -> dict[str, float]:
    """Return the mean of each point that was counted."""
    both = zip(points, sums, counts, strict=True)
    return {point: total / count for point, total, count in both if count}


def _check_finite(losses: Mapping[str, float]) -> None:
    """Raise Diverged when the loss at an operating point is not a finite number."""
    lost = [point for point, value in losses.items() if not math.isfinite(value)]
    if lost:
        at = "" if len(losses) == 1 else f" at {', '.join(lost)}"
        raise Diverged(f"The loss{at} is no longer a finite number. {ADVICE}")
