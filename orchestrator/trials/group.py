"""A group of workers that is kept: plain actors of Ray in one placement group.

Its owner is the driver, with which it ends.
"""

import time
from dataclasses import dataclass
from itertools import count
from typing import Any

import ray
from ray.exceptions import RayTaskError
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from orchestrator.plan.workers import HEALTH_CHECK_SECONDS
from orchestrator.train.member import Member, Outcome, Task

JOIN_SECONDS = 300
PULSE_SECONDS = 5.0
"""How often each member is asked for a sign of life."""
SETTLE_SECONDS = 3.0
"""How long after one member's error those of the others are waited for: they may name the cause."""

_numbers = count(1)


@dataclass(frozen=True)
class Shape:
    """What the members of a group need. cpus, gpus: of each.

    deterministic: cuBLAS reads its setting once in the life of a process.
    """

    num_workers: int
    cpus: int
    gpus: int
    deterministic: bool


class Lost(Exception):
    """The group is of no further use. errors: what its members said, by rank."""

    def __init__(self, errors: dict[int, Exception]) -> None:
        super().__init__(errors)
        self.errors = errors


class Group:
    """The members of a group, which start at once; the first leg waits until they have met."""

    def __init__(self, shape: Shape) -> None:
        self.name = f"g{next(_numbers)}"
        self.shape = shape
        self._placement = placement_group(
            [{"CPU": shape.cpus, "GPU": shape.gpus}] * shape.num_workers, strategy="PACK"
        )
        self._members = [self._member(rank) for rank in range(shape.num_workers)]
        self._seats = self._met()
        self._legs: list[Any] = []
        self._pulse = _Pulse(self._members)

    def hand(self, task: Task) -> None:
        """Let the members train a leg."""
        self._legs = [
            member.train.remote(task, seat)
            for member, seat in zip(self._members, self._seats, strict=True)
        ]

    @property
    def has_met(self) -> bool:
        """Whether the members have started and found one another."""
        return _ready(self._seats)

    def going(self) -> list[Any]:
        """Return what `ray.wait` can wait for: the members that still train."""
        return list(ray.wait(self._legs, num_returns=len(self._legs), timeout=0)[1])

    def outcome(self) -> Outcome | None:
        """Return how the leg ended, None as long as it goes on. Raises Lost."""
        done, going = ray.wait(self._legs, num_returns=len(self._legs), timeout=0)
        errors = [error for error in map(_error, done) if error]
        if errors:
            ray.wait(self._legs, num_returns=len(self._legs), timeout=SETTLE_SECONDS)
            raise Lost(self._errors())
        if going:
            if self.has_met:
                self._pulse.check()
            return None
        legs, self._legs = self._legs, []
        first: Outcome = ray.get(legs[0])
        return first

    def close(self) -> None:
        """End the processes and give back what they had."""
        for member in self._members:
            ray.kill(member)
        remove_placement_group(self._placement)

    def _member(self, rank: int) -> Any:
        kind = ray.remote(
            num_cpus=self.shape.cpus,
            num_gpus=self.shape.gpus,
            concurrency_groups={"pulse": 1},
            scheduling_strategy=PlacementGroupSchedulingStrategy(self._placement, rank),
        )
        return kind(Member).remote()

    def _met(self) -> list[Any]:
        """Let the members join one another; return what each gets of it, once it has."""
        world, on_gpu = self.shape.num_workers, self.shape.gpus > 0
        store = self._members[0].open_store.remote() if world > 1 else ("", 0)
        return [
            member.join.remote(store, rank=rank, world=world, on_gpu=on_gpu, seconds=JOIN_SECONDS)
            for rank, member in enumerate(self._members)
        ]

    def _errors(self) -> dict[int, Exception]:
        done, _ = ray.wait(self._legs, num_returns=len(self._legs), timeout=0)
        found = {rank: _error(leg) for rank, leg in enumerate(self._legs) if leg in done}
        return {rank: error for rank, error in found.items() if error}


class _Pulse:
    """Asks each member for a sign of life."""

    def __init__(self, members: list[Any]) -> None:
        self._members = members
        self._asked: list[Any] = []
        self._at = time.monotonic()

    def check(self) -> None:
        """Ask again, or raise Lost for members that have not answered for too long."""
        since = time.monotonic() - self._at
        silent = [rank for rank, asked in enumerate(self._asked) if not _ready([asked])]
        if silent and since > HEALTH_CHECK_SECONDS:
            message = f"no answer for {since:.0f} seconds."
            raise Lost({rank: Frozen(message) for rank in silent})
        if not silent and since > PULSE_SECONDS:
            self._at = time.monotonic()
            self._asked = [
                member.pulse.options(concurrency_group="pulse").remote() for member in self._members
            ]


class Frozen(Exception):
    """A member has stopped answering."""


def _ready(refs: list[Any]) -> bool:
    return len(ray.wait(refs, num_returns=len(refs), timeout=0)[0]) == len(refs)


def _error(ref: Any) -> Exception | None:
    """Return what a call that is over raised."""
    try:
        ray.get(ref)
    except RayTaskError as error:
        cause = error.cause
        return cause if isinstance(cause, Exception) else error
    except Exception as error:
        return error
    return None
