"""Threads or processes beside a worker, which write samples into their places of a batch.

Threads do for all that lets go of Python's lock, as decoders and resizing do: nothing is copied.
Processes are for storage that may hang: one that does ends the run instead of stalling it.
"""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from orchestrator.data import Dataset
from orchestrator.data.images import BrokenImage
from orchestrator.errors import DataError
from video import BrokenVideo

MOST_AHEAD = 4
"""How many batches are loaded ahead of the one in use, if memory allows."""
MIB = 1 << 20


@dataclass(frozen=True)
class Wanted:
    """What is to be loaded for one place of a batch: the first of some samples that can be read.

    key: what the randomness of the training transform depends on besides the sample; None for the
    test transform.
    """

    indices: Sequence[int]
    key: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Loaded:
    """What was loaded. valid: False where no sample could be read, and the place is blank.

    broken: (source, reason) of each sample that could not be read.
    """

    index: int
    valid: bool
    broken: list[tuple[str, str]]


Kind = Literal["threads", "processes"]
"""What loads samples beside a worker."""

Filled = tuple[Tensor, list[Loaded]]
"""The inputs of a batch, and what each of its places holds."""


class Loaders:
    """Loads the batches of data sets, ahead of their use, as long as a worker lives.

    workers: how many threads or processes; with 0 a batch is loaded when it is asked for. memory:
    bytes that batches may take which are loaded ahead; one always is. timeout: seconds that a
    process may take for a sample. pin: load into pinned memory, from which a GPU fetches a batch
    while the host goes on.
    """

    def __init__(
        self,
        workers: int = 0,
        kind: Kind = "threads",
        *,
        memory: int = 256 * MIB,
        timeout: float = 300.0,
        pin: bool = False,
    ) -> None:
        self._workers, self._kind, self._memory = workers, kind, memory
        self._timeout = timeout if kind == "processes" else None
        self._pin = pin
        self._executors: dict[int, tuple[Dataset, Executor]] = {}

    def batches(self, dataset: Dataset, wanted: Iterable[Sequence[Wanted]]) -> Iterator[Filled]:
        """Yield the batches of a data set, in order.

        Raises DataError when a process takes too long.
        """
        if not self._workers:
            for batch in wanted:
                inputs = self._room(dataset, len(batch))
                yield inputs, [load_first(dataset, *one) for one in zip(batch, inputs, strict=True)]
            return
        waiting: deque[tuple[Tensor, list[Future[Loaded]]]] = deque()
        try:
            for batch in wanted:
                waiting.append(self._begin(dataset, batch))
                if len(waiting) > self._depth(waiting[-1][0]):
                    yield self._ended(*waiting.popleft())
            while waiting:
                yield self._ended(*waiting.popleft())
        finally:
            for _, futures in waiting if self._kind == "threads" else ():
                for future in futures:
                    future.cancel()  # a pool of processes that is killed does not bear it

    def _depth(self, inputs: Tensor) -> int:
        return max(1, min(MOST_AHEAD, self._memory // max(1, inputs.nbytes)))

    def _room(self, dataset: Dataset, count: int) -> Tensor:
        shape = (count, *dataset.sample_shape)
        if self._workers and self._kind == "processes":
            shared = torch.empty(shape, dtype=torch.uint8)
            shared.share_memory_()  # type: ignore[no-untyped-call]
            return shared
        return torch.empty(shape, dtype=torch.uint8, pin_memory=self._pin)

    def _begin(
        self, dataset: Dataset, batch: Sequence[Wanted]
    ) -> tuple[Tensor, list[Future[Loaded]]]:
        inputs = self._room(dataset, len(batch))
        executor, load = self._executor(dataset)
        return inputs, [executor.submit(load, *one) for one in zip(batch, inputs, strict=True)]

    def _ended(self, inputs: Tensor, futures: list[Future[Loaded]]) -> Filled:
        try:
            loaded = [future.result(self._timeout) for future in futures]
        except TimeoutError as error:
            for process in multiprocessing.active_children():
                process.kill()  # else this process waits for them before it ends
                process.join()
            raise DataError(
                f"A sample was not read within {self._timeout:g} seconds. The storage may hang: "
                "see that it answers, or allow more with --set cluster.loader_timeout=SECONDS."
            ) from error
        pins = self._pin and self._kind == "processes"
        return inputs.pin_memory() if pins else inputs, loaded

    def _executor(self, dataset: Dataset) -> tuple[Executor, Callable[[Wanted, Tensor], Loaded]]:
        if self._kind == "threads":
            if not self._executors:
                self._executors[0] = (dataset, ThreadPoolExecutor(self._workers, "loader"))
            return self._executors[0][1], partial(load_first, dataset)
        if id(dataset) not in self._executors:
            forked = multiprocessing.get_context("forkserver")
            pool = ProcessPoolExecutor(
                self._workers, forked, initializer=_take, initargs=(dataset,)
            )
            pool.submit(_is_ready).result()  # it takes seconds, which are not a sample's
            self._executors[id(dataset)] = (dataset, pool)
        return self._executors[id(dataset)][1], _load_own


def load_first(dataset: Dataset, wanted: Wanted, into: Tensor) -> Loaded:
    """Load the first of some samples that can be read into a place of a batch, or blank it."""
    broken: list[tuple[str, str]] = []
    for attempt, index in enumerate(wanted.indices):
        key = wanted.key and (*wanted.key, wanted.indices[0], attempt)
        generator = np.random.default_rng(key) if key else None
        try:
            into.copy_(dataset.load(index, generator))
        except (BrokenImage, BrokenVideo) as error:
            broken.append((dataset.source(index), error.reason))
        else:
            return Loaded(index, True, broken)
    into.zero_()
    return Loaded(wanted.indices[-1], False, broken)


_own: Dataset
"""The data set of a loader process."""


def _take(dataset: Dataset) -> None:
    global _own
    _own = dataset
    torch.set_num_threads(1)


def _is_ready() -> bool:
    return True


def _load_own(wanted: Wanted, into: Tensor) -> Loaded:
    return load_first(_own, wanted, into)
