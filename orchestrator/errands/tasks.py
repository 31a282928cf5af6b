"""The same work on many things, by tasks of a Ray cluster.

A decoder that crashes takes its process with it, and so does a node that is lost: the things that
were at work there are tried again one by one, and only one that ends its process again is given up.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import ray
from ray.exceptions import (
    NodeDiedError,
    OutOfMemoryError,
    RayTaskError,
    WorkerCrashedError,
)

from orchestrator import handover
from orchestrator.curate.pool import LOST, Lost, Numbered

T = TypeVar("T")
R = TypeVar("R")

ENDED = (WorkerCrashedError, OutOfMemoryError, NodeDiedError)
"""What Ray raises for a task whose process is gone."""
LOST_NODES = 1
"""How often Ray itself begins a task again."""
AHEAD = 2
"""So many tasks wait or run for each core of the cluster."""
TURNS = 8
"""Each core has at least so many tasks, so that all end at about the same time."""


class Tasks:
    """Tasks of the cluster that this process is connected to, each with a core."""

    def __call__(
        self, work: Callable[[T], R], things: Sequence[T], worth: int = 1
    ) -> Iterator[Numbered[R | Lost]]:
        """Do what Hands do. The work is sent to each process once."""
        at_once = max(1, min(worth, len(things) // (TURNS * _cores())))
        numbered = list(enumerate(things))
        parts = [numbered[at : at + at_once] for at in range(0, len(numbered), at_once)]
        shared = ray.put(work)
        suspects: list[Numbered[T]] = []
        for part, results in _done(shared, parts):
            if results is None:
                suspects += part
            else:
                yield from zip((number for number, _ in part), results, strict=True)
        for part, results in _done(shared, [[one] for one in suspects]):
            yield part[0][0], LOST if results is None else results[0]


def _done(
    shared: Any, parts: Sequence[list[Numbered[T]]]
) -> Iterator[tuple[list[Numbered[T]], list[Any] | None]]:
    """Yield each part with its results, in the order of completion; None if a process ended."""
    task = ray.remote(num_cpus=1, max_retries=LOST_NODES, scheduling_strategy="SPREAD")(_work_on)
    waiting = deque(parts)
    running: dict[Any, list[Numbered[T]]] = {}
    while waiting or running:
        while waiting and len(running) < AHEAD * _cores():
            part = waiting.popleft()
            running[task.remote([shared], [thing for _, thing in part])] = part
        (ended, *_), _ = ray.wait(list(running))
        yield running.pop(ended), _results(ended)


def _results(ended: Any) -> list[Any] | None:
    """Return what a task returns, None when its process has ended. Raises what the work raises."""
    try:
        results: list[Any] = ray.get(ended)
    except ENDED:
        return None
    except RayTaskError as error:
        raise error.cause from error
    return results


def _work_on(shared: list[Any], things: list[Any]) -> list[Any]:
    """Work on some things. shared: the work, in a list so that Ray does not send it each time."""
    work = _fetched(shared[0])
    return [work(thing) for thing in things]


@lru_cache(maxsize=1)
def _fetched(shared: Any) -> Callable[[Any], Any]:
    handover.take_up()
    work: Callable[[Any], Any] = ray.get(shared)
    return work


def _cores() -> int:
    return max(1, int(ray.cluster_resources().get("CPU", 1)))
