"""What one epoch adds up to: losses, teachers and speed; part of a checkpoint in mid-epoch."""

import math
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from models.bitwidth import FLOAT
from orchestrator.errors import Diverged
from orchestrator.train.gradients import ADVICE
from orchestrator.train.ranks import Ranks


class Tally:
    """Sums over the passes of an epoch on this rank, and the names of broken samples."""

    def __init__(self, bit_widths: tuple[int, ...], device: torch.device) -> None:
        zero = torch.zeros((), dtype=torch.float64, device=device)
        self._loss = {bits: zero.clone() for bits in bit_widths}
        self._passes = dict.fromkeys(bit_widths, 0)
        self._teachers: dict[tuple[int, int], int] = {}
        self._seconds_before = 0.0
        self._start = time.monotonic()
        self.samples = 0
        self.broken: dict[str, str] = {}

    def add(self, bits: int, loss: Tensor, teacher: int | None) -> None:
        """Count one pass of a bit-width; the loss stays on its device."""
        self._loss[bits] += loss.detach()
        self._passes[bits] += 1
        if teacher is not None:
            pair = (bits, teacher)
            self._teachers[pair] = self._teachers.get(pair, 0) + 1

    @property
    def seconds(self) -> float:
        """Seconds spent on this epoch, those before an interruption included."""
        return self._seconds_before + time.monotonic() - self._start

    def total_loss(self) -> Tensor:
        """Return the sum of all losses on this rank, on its device; finite if all of them are."""
        return torch.stack(list(self._loss.values())).sum()

    def local_losses(self) -> dict[int, float]:
        """Return the mean loss of each bit-width so far, on this rank."""
        return {bits: float(s) / max(1, self._passes[bits]) for bits, s in self._loss.items()}

    def mean_losses(self, ranks: Ranks) -> dict[int, float]:
        """Return the mean loss of each bit-width over all ranks.

        Raises Diverged, on every rank, when one is not a finite number.
        """
        sums = ranks.sum(torch.stack(list(self._loss.values())))
        passes = ranks.sum(torch.tensor(list(self._passes.values()), device=ranks.device))
        means = {
            bits: (total / count).item()
            for bits, total, count in zip(self._loss, sums, passes, strict=True)
        }
        check_finite(means)
        return means

    def teacher_shares(self) -> dict[tuple[int, int], float]:
        """Return for each (student, teacher) the share of passes with that teacher."""
        passes: dict[int, int] = {}
        for (student, _), count in self._teachers.items():
            passes[student] = passes.get(student, 0) + count
        return {pair: count / passes[pair[0]] for pair, count in self._teachers.items()}

    def state(self) -> dict[str, Any]:
        """Return the sums as plain values."""
        return {
            "loss": {bits: float(value) for bits, value in self._loss.items()},
            "passes": dict(self._passes),
            "teachers": [[*pair, count] for pair, count in self._teachers.items()],
            "seconds": self.seconds,
            "samples": self.samples,
            "broken": dict(self.broken),
        }

    def restore(self, states: list[dict[str, Any]], *, rank: int, world: int) -> None:
        """Go on from the sums of all ranks in a checkpoint.

        Each rank takes its own; with another number of ranks, rank 0 takes those of all.
        """
        own = [states[rank]] if world == len(states) else states if rank == 0 else []
        for state in own:
            for bits, value in state["loss"].items():
                self._loss[bits] += value
                self._passes[bits] += state["passes"][bits]
            for student, teacher, count in state["teachers"]:
                pair = (student, teacher)
                self._teachers[pair] = self._teachers.get(pair, 0) + count
            self.broken |= state["broken"]
        self._seconds_before = states[0]["seconds"]
        self._start = time.monotonic()
        self.samples = states[0]["samples"]


def check_finite(losses: Mapping[int, float]) -> None:
    """Raise Diverged when the loss of a bit-width is not a finite number."""
    lost = [bits for bits, value in losses.items() if not math.isfinite(value)]
    if lost:
        at = "" if lost == [FLOAT] else f" at {', '.join(map(str, lost))} bits"
        raise Diverged(f"The loss{at} is no longer a finite number. {ADVICE}")
