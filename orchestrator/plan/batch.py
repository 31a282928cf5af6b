"""The paper's global batch, shared among workers: workers x batch per worker x accumulation."""

from dataclasses import dataclass

from orchestrator.errors import UsageError


@dataclass(frozen=True)
class BatchPlan:
    """How one optimizer step is carried out. All counts are samples but the last."""

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
    largest = min(per_worker, max_batch_per_worker)
    micro_batch = next(size for size in range(largest, 0, -1) if per_worker % size == 0)
    return BatchPlan(global_batch, num_workers, per_worker, micro_batch, per_worker // micro_batch)


def _nearest(global_batch: int, num_workers: int) -> str:
    """Return the next smaller and larger numbers of workers that divide the batch."""
    below = [n for n in range(1, min(num_workers, global_batch + 1)) if global_batch % n == 0]
    above = [n for n in range(num_workers + 1, global_batch + 1) if global_batch % n == 0]
    return " or ".join(str(n) for n in (below[-1:] + above[:1]))
