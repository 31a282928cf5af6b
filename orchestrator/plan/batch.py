"""The paper's global batch, shared among workers: workers x batch per worker x accumulation."""

import math
from dataclasses import dataclass

from orchestrator.errors import UsageError

SMALLER_PASS = (
    "Let fewer samples pass at once: lower cluster.max_batch_per_worker. The global batch stays as "
    "it is, by accumulation."
)
LARGER_PASS = (
    "Batch norm cannot compute a variance from a pass of one sample of one pixel: let more samples "
    "pass at once (cluster.max_batch_per_worker), or enlarge the pictures (data.crop)."
)


@dataclass(frozen=True)
class BatchPlan:
    """How one optimizer step is carried out. All counts but the last are samples."""

    global_batch: int
    num_workers: int
    per_worker: int
    micro_batch: int
    accumulation: int

    def sentence(self) -> str:
        """Return the arithmetic, for example "2880 = 8 workers x 180 per pass x 2 passes"."""
        return (
            f"{self.global_batch} = {self.num_workers} workers x {self.micro_batch} per pass "
            f"x {self.accumulation} accumulation"
        )


def plan_batch(global_batch: int, num_workers: int, max_batch_per_worker: int) -> BatchPlan:
    """Share a global batch among workers in passes of at most `max_batch_per_worker` samples.

    The passes are equal and as few as possible. Raises UsageError when the workers cannot share
    the batch evenly, naming the nearest numbers of workers that can.
    """
    if global_batch % num_workers:
        raise UsageError(
            f"{num_workers} workers cannot share a global batch of {global_batch}; "
            f"{_nearest(global_batch, num_workers)} can."
        )
    per_worker = global_batch // num_workers
    micro_batch = max(size for size in divisors(per_worker) if size <= max_batch_per_worker)
    return BatchPlan(global_batch, num_workers, per_worker, micro_batch, per_worker // micro_batch)


def sizes(global_batch: int, least: int, most: int) -> list[int]:
    """Return the numbers of workers of a range that can share a global batch, ascending.

    Raises UsageError when none can.
    """
    if least == most:
        plan_batch(global_batch, least, global_batch)
    if found := [n for n in divisors(global_batch) if least <= n <= most]:
        return found
    raise UsageError(
        f"no number of workers from {least} to {most} can share a global batch of {global_batch}; "
        f"{_nearest(global_batch, least)} can."
    )


def divisors(number: int) -> list[int]:
    """Return all divisors of a number in ascending order."""
    small = [n for n in range(1, math.isqrt(number) + 1) if number % n == 0]
    return sorted({*small, *(number // n for n in small)})


def _nearest(global_batch: int, num_workers: int) -> str:
    """Return the next smaller and larger numbers of workers that divide the batch."""
    below = [n for n in divisors(global_batch) if n < num_workers]
    above = [n for n in divisors(global_batch) if n > num_workers]
    return " or ".join(str(n) for n in (below[-1:] + above[:1]))
