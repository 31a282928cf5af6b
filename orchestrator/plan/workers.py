"""What a worker needs on a machine, and how many fit on one."""

HEALTH_CHECK_SECONDS = 40
"""How long a worker may leave questions of Ray or of its group unanswered."""


def cpus_per_worker(loader_workers: int) -> int:
    """Return one CPU for the worker and one for each of its loaders."""
    return 1 + loader_workers


def room_for(cpus: float, gpus: float, *, cpus_each: int, gpus_each: int) -> int:
    """Return how many workers fit on one machine, with their CPUs and their GPUs."""
    by_cpu = cpus // cpus_each
    return int(min(by_cpu, gpus // gpus_each) if gpus_each else by_cpu)
