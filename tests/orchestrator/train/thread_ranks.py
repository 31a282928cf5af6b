"""Several ranks in one process, a thread each, for programs that need no more than sums."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from orchestrator.train.ranks import Ranks

T = TypeVar("T")
PATIENCE = 60.0


class Meeting:
    """Where the threads exchange one value each and wait for one another."""

    def __init__(self, world: int) -> None:
        self._barrier = threading.Barrier(world, timeout=PATIENCE)
        self._values: list[Any] = [None] * world

    def ranks(self) -> list["ThreadRanks"]:
        world = len(self._values)
        return [ThreadRanks(rank=rank, world=world, meeting=self) for rank in range(world)]

    def exchange(self, rank: int, value: T) -> list[T]:
        self._values[rank] = value
        self._barrier.wait()
        values = list(self._values)
        self._barrier.wait()
        return values

    def run(self, programs: Sequence[Callable[[], T]]) -> list[T]:
        """Run each rank's program; return what each returned, or raise what one raised.

        What draws from torch's global generator is made before: the threads share it.
        """
        with ThreadPoolExecutor(len(programs)) as pool:
            futures = [pool.submit(self._guarded, program) for program in programs]
        errors = [error for error in (future.exception() for future in futures) if error]
        for error in sorted(errors, key=lambda e: isinstance(e, threading.BrokenBarrierError)):
            raise error
        return [future.result() for future in futures]

    def _guarded(self, program: Callable[[], T]) -> T:
        try:
            return program()
        except BaseException:
            self._barrier.abort()  # nobody waits for a rank that has failed
            raise


@dataclass(frozen=True)
class ThreadRanks(Ranks):
    """A rank whose sums and gatherings go over a meeting in the place of torch.distributed."""

    meeting: Meeting = field(default_factory=lambda: Meeting(1))

    def sum(self, tensor: Tensor) -> Tensor:
        return torch.stack(self.meeting.exchange(self.rank, tensor.clone())).sum(dim=0)

    def start_sum(self, tensor: Tensor) -> Callable[[], None]:
        total = self.sum(tensor)

        def wait() -> None:
            tensor.copy_(total)

        return wait

    def gather(self, value: T) -> list[T]:
        return self.meeting.exchange(self.rank, value)


@dataclass(frozen=True)
class Twins(Ranks):
    """One of two ranks that do the same; `sizes` are those of the sums that it has begun."""

    world: int = 2
    sizes: list[int] = field(default_factory=list)

    def sum(self, tensor: Tensor) -> Tensor:
        return tensor * self.world

    def start_sum(self, tensor: Tensor) -> Callable[[], None]:
        self.sizes.append(len(tensor))
        total = self.sum(tensor)

        def wait() -> None:
            tensor.copy_(total)

        return wait

    def gather(self, value: T) -> list[T]:
        return [value] * self.world
