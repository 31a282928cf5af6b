"""The same work on many things, by processes beside this one.

A decoder that crashes on a file takes its process with it: that file is known then, and the work on
the others goes on. The processes end with this one, however it ends.
"""

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from orchestrator.data.helper_process import end_with_parent

T = TypeVar("T")
R = TypeVar("R")

Numbered = tuple[int, T]


class Lost:
    """Stands for the result of work during which its process ended."""


LOST = Lost()


class Hands(Protocol):
    """Those that do the same work on many things: processes of this machine, or of a cluster."""

    def __call__(
        self, work: Callable[[T], R], things: Sequence[T], worth: int = 1
    ) -> Iterator[Numbered[R | Lost]]:
        """Yield the number of each thing and what the work on it returns, as they are done.

        worth: how many things take about as long as the start of a process.
        """


@dataclass(frozen=True)
class Processes:
    """Some processes beside this one, at least one, whatever there is to do.

    number: None for as many as there are cores, if worth it.
    """

    number: int | None = None

    def __call__(
        self, work: Callable[[T], R], things: Sequence[T], worth: int = 1
    ) -> Iterator[Numbered[R | Lost]]:
        """Do what Hands do."""
        cores = len(os.sched_getaffinity(0))
        return side_by_side(work, things, self.number or max(1, min(cores, len(things) // worth)))


def side_by_side(
    work: Callable[[T], R], things: Sequence[T], processes: int
) -> Iterator[Numbered[R | Lost]]:
    """Yield the number of each thing and what the work on it returns, in the order of completion.

    The work is sent to each process once.
    """
    waiting = deque(enumerate(things))
    while waiting:
        suspects = yield from _together(work, waiting, processes)
        for suspect in suspects:  # each has a process of its own now, and takes no other with it
            again = yield from _together(work, deque([suspect]), 1)
            yield from ((number, LOST) for number, _ in again)


def _together(
    work: Callable[[T], R], waiting: deque[Numbered[T]], processes: int
) -> Generator[Numbered[R], None, list[Numbered[T]]]:
    """Work on what waits until nothing does, or a process ends; return what was at work then."""
    before = set(multiprocessing.active_children())
    context = multiprocessing.get_context("forkserver")
    pool = ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(work,))
    running: dict[Future[R], Numbered[T]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < 2 * processes:
                running[pool.submit(_do, waiting[0][1])] = waiting[0]
                waiting.popleft()
            for ended in wait(running, return_when=FIRST_COMPLETED).done:
                yield running[ended][0], ended.result()
                del running[ended]
    except BrokenProcessPool:
        return list(running.values())
    finally:
        if running:
            for process in set(multiprocessing.active_children()) - before:
                process.kill()
        pool.shutdown(cancel_futures=True)
    return []


_work: Callable[[Any], Any]
"""What this process does with all that it is given."""


def _begin(work: Callable[[Any], Any]) -> None:
    global _work
    _work = work
    if torch := sys.modules.get("torch"):  # which the work has imported, or does without
        torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that started this one deals with it
    end_with_parent()


def _do(thing: Any) -> Any:
    return _work(thing)
