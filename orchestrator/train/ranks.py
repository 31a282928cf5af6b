"""The ranks of a run and their communication; a single process is a run of one rank."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


class LostRank(Exception):
    """Another rank can no longer be reached: the fault lies there, not here."""


@contextmanager
def other_ranks() -> Iterator[None]:
    """Turn an error of the communication between ranks into LostRank."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise LostRank(str(error)) from error


@dataclass(frozen=True)
class Ranks:
    """This process among `world` processes, and the device it computes on."""

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which writes and records."""
        return self.rank == 0

    @property
    def pins(self) -> bool:
        """Whether batches are loaded into pinned memory, from which a GPU fetches them itself."""
        return self.device.type == "cuda"

    def sum(self, tensor: Tensor) -> Tensor:
        """Return the sum of a tensor over all ranks; the argument keeps its value."""
        total = tensor.clone()
        if self.world > 1:
            with other_ranks():
                dist.all_reduce(total)
        return total

    def start_sum(self, tensor: Tensor) -> Callable[[], None]:
        """Begin to replace a tensor by its sum over all of several ranks.

        Until what is returned has been called, the tensor is not to be used. On a GPU the call
        makes its stream wait, and not the host.
        """
        with other_ranks():
            work = dist.all_reduce(tensor, async_op=True)

        def wait() -> None:
            with other_ranks():
                work.wait()

        return wait

    def gather(self, value: T) -> list[T]:
        """Return the values of all ranks, in order, on every rank."""
        if self.world == 1:
            return [value]
        values: list[T | None] = [None] * self.world
        with other_ranks():
            dist.all_gather_object(values, value)
        return values  # type: ignore[return-value]
