"""Which processes train a run: told each time a group of workers has started."""

from typing import Any

from ray.train.v2._internal.execution.callback import WorkerGroupCallback

from orchestrator import handover
from orchestrator.event_parts import WorkerPlace
from orchestrator.events import Gathered
from orchestrator.run_facts import Events
from orchestrator.store.run_folder import RunFolder


class Roster(WorkerGroupCallback):  # type: ignore[misc]
    """Says who the workers are. Ray Train's controller calls it."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    def after_worker_group_training_start(self, worker_group: Any) -> None:
        """Report the workers of a group, each with the address of its node and its GPUs."""
        handover.take_up()  # the controller is a process of its own
        places = [_place(worker) for worker in worker_group.get_workers()]
        workers = tuple(sorted(places, key=lambda place: place.rank))
        Events(self._folder).say(Gathered(workers=workers))


def _place(worker: Any) -> WorkerPlace:
    known = worker.metadata
    return WorkerPlace(
        rank=worker.distributed_context.world_rank,
        node=known.node_ip,
        pid=known.pid,
        gpus=tuple(map(str, known.gpu_ids)),
    )
