"""The most memory that training takes at any time, in a process of its own for each side.

Counted from an empty process to the end of the third step: weights, gradients, the optimizer's
state, and what a step keeps and works with.

- allocated: bytes of tensors, from torch's own record of its allocator. Exact and repeatable, but
  without what libraries allocate for themselves.
- resident: pages that the process holds and that no file backs, as the kernel counts them (Linux).
  All is in it, also what the allocator of the C library keeps for later.
"""

import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import accumulate
from multiprocessing import get_context
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.comparison import Build, Run
from benchmarks.settings import Setting

STEPS = 3


def peak_memory(build: Build, setting: Setting, threads: int) -> dict[str, int]:
    """Return the bytes that are held at the peak, by the way of counting.

    build: a function of a module, which builds the step from the setting.
    """
    counted = {"allocated": peak_allocated, "resident": peak_resident}
    if setting.device == "cuda":
        counted = {"allocated": peak_allocated_on_gpu}
    return {name: _alone(count, build, setting, threads) for name, count in counted.items()}


def _alone(count: Callable[[Run], int], *given: object) -> int:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_count, count, *given).result()


def _count(count: Callable[[Run], int], build: Build, setting: Setting, threads: int) -> int:
    torch.set_num_threads(threads)

    def train() -> None:
        step = build(setting)
        for _ in range(STEPS):
            step()

    return count(train)


def peak_allocated(train: Run) -> int:
    """Return the most bytes of tensors in main memory that were there at once."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        train()
    assert profiled.profiler is not None
    events = profiled.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    return max(accumulate(change for _, change in changes))


def peak_allocated_on_gpu(train: Run) -> int:
    """Return the most bytes of tensors that were on the GPU at once."""
    train()
    return torch.cuda.max_memory_allocated()


def peak_resident(train: Run) -> int:
    """Return how many more bytes without a file were in memory at the peak than before."""
    before = _pages("RssAnon")
    train()
    # The peak counts pages of files, too: of libraries, which stay once they are there.
    return _pages("VmHWM") - _pages("RssFile") - _pages("RssShmem") - before


def _pages(name: str) -> int:
    found = re.search(rf"{name}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024
