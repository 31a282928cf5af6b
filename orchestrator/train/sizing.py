"""How many workers a run has now: as many as the nodes hold that are there, and the job allows.

Ray Train asks this policy, in its controller, before it starts workers and while they work. Its own
elastic policy goes by reservations that outlive their node by half a minute, and ends workers for a
resize without letting them save.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import ray
from ray.train import ScalingConfig
from ray.train.v2._internal.execution.scaling_policy import (
    NoopDecision,
    ResizeDecision,
    ScalingDecision,
    ScalingPolicy,
)

from orchestrator import handover
from orchestrator.errors import JobFailed
from orchestrator.events import inform
from orchestrator.plan.batch import BatchPlan
from orchestrator.plan.workers import room_for
from orchestrator.run_facts import facts_of
from orchestrator.store.run_folder import RunFolder
from orchestrator.train.job_log import STOPPED_EARLY

T = TypeVar("T")

Resources = Mapping[str, float]
"""Of a node, by their names in Ray: CPU, GPU."""

WAIT_SECONDS = 10.0
"""How long room is waited for that is about to be free; not what other jobs hold."""
HELD_SECONDS = 30.0
"""After the loss of a driver its workers may still be there for so long."""
LOOK_SECONDS = 5.0
"""Between two looks at the nodes while workers work; room for more counts when seen twice."""
FIRST_REST_SECONDS = 30.0
"""How long workers are left alone when they left for more room in vain: another job took it. Twice
as long after each further time, until they find more."""
LONGEST_REST_SECONDS = 300.0
PAUSE_SECONDS = 0.2
"""Ray Train asks again at once when it is told to wait."""


class Sizing(ScalingPolicy):  # type: ignore[misc]
    """Starts as many workers as there is room for, and asks them to leave for more.

    plans: how a step is carried out by each number of workers that is allowed, ascending.
    """

    def __init__(
        self, scaling_config: ScalingConfig, plans: Sequence[BatchPlan], folder: RunFolder
    ) -> None:
        super().__init__(scaling_config)
        self._plans = {plan.num_workers: plan for plan in plans}
        self._folder = folder
        self._own: list[str] = []
        self._held = max(self._plans) if self._asks(self._follows_a_lost_driver) else 0
        self._waiting: float | None = None
        self._looked = 0.0
        self._seen = 0
        self._before = max(self._plans)
        self._left_with: int | None = None
        self._rest = self._rests_until = 0.0

    def make_decision_for_non_running_worker_group(self) -> ScalingDecision:
        """Return with how many workers to start, or that the decision has to wait.

        What the workers before held counts as free: Ray Train ends them after this. Raises
        NothingStarted when the run was asked to stop.
        """
        handover.take_up()  # the controller is a process of its own
        self._maybe_send_resource_request()
        if self._asks(self._folder.stop_is_asked):
            raise NothingStarted(STOPPED_EARLY)
        self._asks(self._folder.withdraw_leave)
        nodes = usable_nodes()
        free = sum(map(self._free, nodes))
        ready, soon = self._size(free), self._size(free + self._coming(nodes, free))
        now = time.monotonic()
        self._waiting = self._waiting or now
        if len(self._plans) > 1 and ready < soon and now - self._waiting < WAIT_SECONDS:
            time.sleep(PAUSE_SECONDS)
            return NoopDecision()
        self._waiting = None
        return self._start(max(ready, min(self._plans)))

    def _free(self, node: "Node") -> int:
        """Return the places of a node that workers can have: the free ones, and those of before."""
        if node.free is None:
            return 0
        return min(self._places(node.free) + self._own.count(node.id), self._places(node.total))

    def _coming(self, nodes: Sequence["Node"], free: int) -> int:
        """Return the places that are about to be free.

        They are on nodes that come or go, or held by workers of this run that are gone.
        """
        unclear = sum(self._places(node.total) for node in nodes if node.free is None)
        return min(unclear + self._held, sum(self._places(node.total) for node in nodes) - free)

    def _follows_a_lost_driver(self) -> bool:
        """Return whether a driver was lost a moment ago, with its workers."""
        restarted = facts_of(self._folder).restarted
        at = restarted.time if restarted else None
        return at is not None and time.time() - at < HELD_SECONDS

    def make_decision_for_running_worker_group(
        self, worker_group_state: Any, worker_group_status: Any
    ) -> ScalingDecision:
        """Ask the workers to leave when a node of theirs is about to go, or for a larger group."""
        self._maybe_send_resource_request()
        if not self._own:
            self._judge(len(worker_group_state.workers))
        self._own = [worker.metadata.node_id for worker in worker_group_state.workers]
        self._held = 0
        now = time.monotonic()
        if now - max(self._looked, worker_group_state.start_time) < LOOK_SECONDS:
            return NoopDecision()
        self._looked = now
        if draining_nodes() & {*self._own}:
            self._ask_to_leave("A node of the run is about to go")
        elif len(self._plans) > 1:
            self._look_for_room(len(self._own))
        return NoopDecision()

    def _look_for_room(self, present: int) -> None:
        """Ask the workers to leave when there was room for more at two looks."""
        places = sum(self._places(node.free or {}) for node in usable_nodes())
        possible = self._size(present + places)
        if min(self._seen, possible) > present and time.monotonic() >= self._rests_until:
            self._left_with = present
            self._ask_to_leave(f"There is room for {possible} workers")
        self._seen = possible

    def _judge(self, present: int) -> None:
        """See whether the workers before have left for more, now that these have started.

        Two runs would take each other's room in turns, if each asked again at once.
        """
        if self._left_with is None:
            return
        if present > self._left_with:
            self._rest = 0.0
        else:
            self._rest = min(max(2 * self._rest, FIRST_REST_SECONDS), LONGEST_REST_SECONDS)
            inform(
                f"That room was gone again; the next try is in {self._rest:.0f} s at the earliest."
            )
        self._rests_until = time.monotonic() + self._rest
        self._left_with = None

    def _ask_to_leave(self, why: str) -> None:
        if not self._asks(self._folder.leave_is_asked):
            inform(f"{why}: the workers save, and are started again.")
            self._asks(self._folder.ask_to_leave)

    @staticmethod
    def _asks(question: Callable[[], T]) -> T | None:
        """Return the folder's answer; None where its storage has none, which ends no run."""
        try:
            return question()
        except OSError:
            return None

    def _start(self, size: int) -> ResizeDecision:
        self._seen, self._own, self._held = 0, [], size
        if self._before != size:
            count = f"{size} worker{'s' * (size > 1)}"
            inform(f"Going on with {count}: global batch {self._plans[size].sentence()}.")
        self._before = size
        return ResizeDecision(
            num_workers=size,
            resources_per_worker=self.scaling_config._resources_per_worker_not_none,
        )

    def _size(self, places: int) -> int:
        """Return the largest number of workers that is allowed and fits; 0 if none does."""
        return max((size for size in self._plans if size <= places), default=0)

    def _places(self, has: Resources) -> int:
        """Return how many workers fit into resources of one node."""
        each = self.scaling_config._resources_per_worker_not_none
        return room_for(
            has.get("CPU", 0),
            has.get("GPU", 0),
            cpus_each=int(each.get("CPU", 0)),
            gpus_each=int(each.get("GPU", 0)),
        )

    def _get_num_workers_for_resource_request(self) -> int:
        return max(self._plans)


class NothingStarted(JobFailed):
    """The run was asked to stop while its workers waited for room."""


class Node(NamedTuple):
    """A node of the cluster: its id in Ray, what it has, and what of it is free.

    free: None while that is not known, of a node that has only just joined or is being lost.
    """

    id: str
    total: Resources
    free: Resources | None


def usable_nodes() -> list[Node]:
    """Return the living nodes that are not about to go."""
    free = ray._private.state.available_resources_per_node()
    going = draining_nodes()
    return [
        Node(node["NodeID"], node["Resources"], free.get(node["NodeID"]))
        for node in ray.nodes()
        if node["Alive"] and node["NodeID"] not in going
    ]


def draining_nodes() -> set[str]:
    """Return the ids of nodes that are about to be taken away."""
    return {*ray._private.state.state.get_draining_nodes()}
