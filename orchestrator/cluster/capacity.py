"""What a cluster has, and whether a job's workers can ever fit."""

from dataclasses import dataclass

from orchestrator.errors import UsageError
from orchestrator.plan.workers import cpus_per_worker, room_for


@dataclass(frozen=True)
class Node:
    """One machine of a cluster."""

    ip: str
    cpus: float
    gpus: float
    is_head: bool = False


@dataclass(frozen=True)
class Capacity:
    """The machines of a cluster; `grows` when an autoscaler can add machines."""

    nodes: tuple[Node, ...]
    grows: bool = False

    def slots(self, demand: "Demand") -> int:
        """Return how many workers fit on an empty cluster at the same time."""
        return sum(_fits(node, demand) for node in self.nodes)

    def sentence(self) -> str:
        """Return "2 nodes, 16 CPUs, 4 GPUs"."""
        cpus, gpus = (sum(getattr(node, of) for node in self.nodes) for of in ("cpus", "gpus"))
        count = len(self.nodes)
        return f"{count} node{'s' * (count != 1)}, {cpus:g} CPUs, {gpus:g} GPUs"


@dataclass(frozen=True)
class Demand:
    """What a job asks of a cluster: workers, each with its loader processes."""

    num_workers: int
    loader_workers: int
    gpus_per_worker: int
    global_batch: int

    @property
    def cpus_per_worker(self) -> int:
        """One CPU for the worker and one for each of its loader processes."""
        return cpus_per_worker(self.loader_workers)


def check(demand: Demand, capacity: Capacity, where: str) -> None:
    """Raise UsageError when the job could never start here, saying what would fit.

    A cluster that can grow passes: how far is not known.
    """
    slots = capacity.slots(demand)
    if capacity.grows or slots >= demand.num_workers:
        return
    each = f"{demand.cpus_per_worker} CPUs" + f" and {demand.gpus_per_worker} GPU" * bool(
        demand.gpus_per_worker
    )
    raise UsageError(
        f"{where} ({capacity.sentence()}) cannot hold {demand.num_workers} workers with {each} "
        f"each, only {slots}. {_advice(demand, capacity)}"
    )


def _fits(node: Node, demand: Demand) -> int:
    return room_for(
        node.cpus,
        node.gpus,
        cpus_each=demand.cpus_per_worker,
        gpus_each=demand.gpus_per_worker,
    )


def _advice(demand: Demand, capacity: Capacity) -> str:
    """Return the settings that would fit."""
    options: list[str] = []
    if demand.gpus_per_worker and not any(node.gpus for node in capacity.nodes):
        options.append("cluster.gpus_per_worker=0")
        demand = _with(demand, gpus_per_worker=0)
    if capacity.slots(demand) < demand.num_workers:
        options += _smaller(demand, capacity)
    if not options:
        return "Add nodes to the cluster, or choose another one with --address."
    return f"This would fit: {' '.join(f'--set {option}' for option in options)}"


def _smaller(demand: Demand, capacity: Capacity) -> list[str]:
    """Fewer loader processes if that is enough, else fewer workers without any."""
    for loaders in range(demand.loader_workers - 1, -1, -1):
        if capacity.slots(_with(demand, loader_workers=loaders)) >= demand.num_workers:
            return [f"cluster.loader_workers={loaders}"]
    slots = capacity.slots(demand)
    options: list[str] = []
    if not slots and demand.loader_workers:
        slots = capacity.slots(_with(demand, loader_workers=0))
        options = ["cluster.loader_workers=0"]
    sharing = [n for n in range(1, slots + 1) if demand.global_batch % n == 0]
    return [f"cluster.num_workers={sharing[-1]}", *options] if sharing else []


def _with(demand: Demand, **changes: int) -> Demand:
    return Demand(**{**demand.__dict__, **changes})
