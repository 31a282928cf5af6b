"""The most memory that training takes at any time, in a process of its own for each count.

Counted from an empty process to the end of the second step: weights, gradients, the optimizer's
state, and what a step keeps and works with.

- tensors: bytes of tensors, from torch's own record of its allocator; the same in every run.
- pages: those of the process that no file backs, as the kernel counts them (Linux), while the C
  library returns at once what is freed: tensors, and what torch's libraries take for themselves.
- process: the same with the C library as it comes, which keeps much of what is freed. It depends
  on the order of all allocations, and differs between runs.
"""

import ctypes
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

STEPS = 2
M_MMAP_THRESHOLD = -3
"""From `malloc.h`: the size from which on memory is taken from the kernel, and given back to it."""


def peak_memory(build: Build, setting: Setting, threads: int) -> dict[str, int]:
    """Return the bytes that are held at the peak, by the way of counting.

    build: a function of a module, which builds the step from the setting.
    """
    counted = {"tensors": peak_of_tensors, "pages": peak_of_pages, "process": peak_of_process}
    if setting.device == "cuda":
        counted = {"tensors": peak_of_tensors_on_gpu}
    return {name: alone(count, build, setting, threads) for name, count in counted.items()}


def alone(count: Callable[[Run], int], build: Build, setting: Setting, threads: int) -> int:
    """Return what is counted of some steps in a process of their own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_count, count, build, setting, threads).result()


def _count(count: Callable[[Run], int], build: Build, setting: Setting, threads: int) -> int:
    torch.set_num_threads(threads)

    def train() -> None:
        step = build(setting)
        for _ in range(STEPS):
            step()

    return count(train)


def peak_of_tensors(train: Run) -> int:
    """Return the most bytes of tensors in main memory that were there at once."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        train()
    assert profiled.profiler is not None
    events = profiled.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    most: int = max(accumulate(change for _, change in changes))
    return most


def peak_of_tensors_on_gpu(train: Run) -> int:
    """Return the most bytes of tensors that were on the GPU at once."""
    train()
    return torch.cuda.max_memory_allocated()


def peak_of_pages(train: Run) -> int:
    """Return the most bytes that were in use at once, and no file's."""
    ctypes.CDLL("libc.so.6").mallopt(M_MMAP_THRESHOLD, 2**16)
    return peak_of_process(train)


def peak_of_process(train: Run) -> int:
    """Return the most bytes that the process held at once, and no file's."""
    before = pages("RssAnon")
    train()
    # The peak counts pages of files, too: of libraries, which stay once they are there.
    return pages("VmHWM") - pages("RssFile") - pages("RssShmem") - before


def pages(name: str) -> int:
    """Return how many bytes the kernel says that this process has of a kind, such as RssAnon."""
    found = re.search(rf"{name}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024
