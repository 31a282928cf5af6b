"""Threads or processes beside a worker, which write samples into their places of a batch.

Threads do for all that lets go of Python's lock, as decoders and resizing do: nothing is copied.
Processes are for storage that may hang: one that does ends the run instead of stalling it.
"""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from orchestrator import outage
from orchestrator.data import Dataset
from orchestrator.data.helper_process import end_with_parent
from orchestrator.data.images import BrokenImage
from orchestrator.errors import DataError, UsageError
from video import BrokenVideo

MOST_AHEAD = 4
"""How many batches are loaded ahead of the one in use, if memory allows."""
MIB = 1 << 20
LAST_SECONDS = 10
"""For a process that is killed; one in a call of the system that hangs does not end."""


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
    process may take for a sample; patience: those that its reader may wait for a bucket besides.
    pin: load into pinned memory, from which a GPU fetches a batch while the host goes on.
    """

    def __init__(
        self,
        workers: int = 0,
        kind: Kind = "threads",
        *,
        memory: int = 256 * MIB,
        timeout: float = 300.0,
        patience: float = 0.0,
        pin: bool = False,
    ) -> None:
        self._workers, self._kind, self._memory = workers, kind, memory
        self._timeout = timeout + patience if kind == "processes" else None
        self._patience = patience
        self._pin = pin
        self._pools: dict[int, _Pool] = {}
        self._threads: ThreadPoolExecutor | None = None

    def batches(self, dataset: Dataset, wanted: Iterable[Sequence[Wanted]]) -> Iterator[Filled]:
        """Yield the batches of a data set, in order.

        Raises DataError when a process takes too long, LostLoader when one is killed.
        """
        if not self._workers:
            for batch in wanted:
                inputs = self._room(dataset, len(batch))
                yield inputs, [load_first(dataset, *one) for one in zip(batch, inputs, strict=True)]
            return
        try:
            yield from self._ahead(dataset, wanted)
        except BrokenProcessPool as error:
            self._pools.clear()
            raise LostLoader(
                "a loader process was killed or crashed (the system also kills processes when "
                "memory runs out)."
            ) from error

    def _ahead(self, dataset: Dataset, wanted: Iterable[Sequence[Wanted]]) -> Iterator[Filled]:
        pool = self._pool(dataset)
        waiting: deque[tuple[Tensor, list[Future[Loaded]]]] = deque()
        try:
            for batch in wanted:
                waiting.append(self._begin(pool, batch))
                if len(waiting) > self._depth(waiting[-1][0]):
                    yield self._ended(pool, *waiting.popleft())
            while waiting:
                yield self._ended(pool, *waiting.popleft())
        except Exception:
            if self._kind == "processes":
                waiting.clear()  # a pool that has lost a process does not bear what comes now
            raise
        finally:
            pool.leave(future for _, futures in waiting for future in futures)

    def _depth(self, inputs: Tensor) -> int:
        return max(1, min(MOST_AHEAD, self._memory // max(1, inputs.nbytes)))

    def _room(self, dataset: Dataset, count: int) -> Tensor:
        shape = (count, *dataset.sample_shape)
        if self._workers and self._kind == "processes":
            return _shared(torch.empty(shape, dtype=torch.uint8))
        return torch.empty(shape, dtype=torch.uint8, pin_memory=self._pin)

    def _begin(self, pool: "_Pool", batch: Sequence[Wanted]) -> tuple[Tensor, list[Future[Loaded]]]:
        inputs = self._room(pool.dataset, len(batch))
        places = zip(batch, inputs, strict=True)
        return inputs, [pool.executor.submit(pool.load, *one) for one in places]

    def _ended(self, pool: "_Pool", inputs: Tensor, futures: list[Future[Loaded]]) -> Filled:
        try:
            pool.end_what_was_left(self._timeout)
            loaded = [_result(future, self._timeout) for future in futures]
        except _TooLong as error:
            processes = multiprocessing.active_children()
            for process in processes:
                process.kill()  # else this process waits for them before it ends
            for process in processes:
                process.join(LAST_SECONDS)
            self._pools.clear()
            waited = f", for {self._patience:g} of which a bucket is waited for"
            raise DataError(
                f"A sample was not read within {self._timeout:g} seconds"
                f"{waited if self._patience else ''}. The storage may hang: "
                "see that it answers, or allow more with --set cluster.loader_timeout=SECONDS."
            ) from error
        pins = self._pin and self._kind == "processes"
        return inputs.pin_memory() if pins else inputs, loaded

    def _pool(self, dataset: Dataset) -> "_Pool":
        if id(dataset) not in self._pools:
            self._pools[id(dataset)] = self._new_pool(dataset)
        return self._pools[id(dataset)]

    def _new_pool(self, dataset: Dataset) -> "_Pool":
        if self._kind == "threads":
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self._workers, "loader")
            return _Pool(dataset, self._threads, partial(load_first, dataset))
        forked = multiprocessing.get_context("forkserver")
        executor = ProcessPoolExecutor(
            self._workers, forked, initializer=_take, initargs=(dataset, outage.telling())
        )
        executor.submit(_is_ready).result()  # it takes seconds, which are not a sample's
        return _Pool(dataset, executor, _load_own)


class LostLoader(RuntimeError):
    """A loader process is gone."""


@dataclass
class _Pool:
    """Threads or processes that load from a data set. left: by those of earlier batches."""

    dataset: Dataset
    executor: Executor
    load: Callable[[Wanted, Tensor], Loaded]
    left: list[Future[Loaded]] = field(default_factory=list)

    def leave(self, futures: Iterable[Future[Loaded]]) -> None:
        """Load no more of some samples; those that are being loaded are remembered."""
        self.left += [future for future in futures if not future.cancel()]

    def end_what_was_left(self, timeout: float | None) -> None:
        """Wait for samples that nobody wants, each with a time of its own. Raises _TooLong."""
        if timeout is not None:
            for future in self.left:
                if not wait([future], timeout).done:
                    raise _TooLong
        self.left.clear()


class _TooLong(Exception):
    """A sample was not loaded in time."""


def _result(future: Future[Loaded], timeout: float | None) -> Loaded:
    """Return what was loaded. Raises _TooLong, and what the loading raises."""
    if not wait([future], timeout).done:
        raise _TooLong
    return future.result()


def _shared(room: Tensor) -> Tensor:
    """Move the room for a batch to where all processes see it. Raises UsageError."""
    try:
        return room.share_memory_()  # type: ignore[no-untyped-call, no-any-return]
    except RuntimeError as error:
        if "shared memory" not in str(error):
            raise
        raise UsageError(
            f"/dev/shm has no room for a batch of {room.nbytes / MIB:.0f} MiB, which loader "
            "processes share: set cluster.loader=threads, which need none, or lower "
            "cluster.loader_memory, or give the container more (docker run --shm-size)."
        ) from error


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


def _take(dataset: Dataset, telling: outage.Telling | None) -> None:
    global _own
    _own = dataset
    torch.set_num_threads(1)
    end_with_parent()
    outage.tell(telling)


def _is_ready() -> bool:
    return True


def _load_own(wanted: Wanted, into: Tensor) -> Loaded:
    return load_first(_own, wanted, into)
