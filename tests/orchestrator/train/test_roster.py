"""What the controller says of the workers it has started."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ["RAY_TRAIN_V2_ENABLED"] = "1"

from orchestrator.event_parts import WorkerPlace
from orchestrator.run_facts import facts_of
from orchestrator.store.run_folder import RunFolder
from orchestrator.train.roster import Roster


def worker(rank: int, node: str, pid: int, gpu_ids: list[Any]) -> Any:
    """Return a worker as Ray Train's controller knows it."""
    return SimpleNamespace(
        distributed_context=SimpleNamespace(world_rank=rank),
        metadata=SimpleNamespace(node_ip=node, pid=pid, gpu_ids=gpu_ids),
    )


def test_the_workers_of_a_run_are_told_by_rank_with_their_gpus_by_number_or_id(
    tmp_path: Path,
) -> None:
    workers = [worker(1, "10.0.0.6", 72, [3]), worker(0, "10.0.0.5", 71, ["GPU-12ab"])]
    group = SimpleNamespace(get_workers=lambda: workers)
    Roster(RunFolder(tmp_path)).after_worker_group_training_start(group)
    told = facts_of(RunFolder(tmp_path)).gathered
    assert told is not None
    assert told.workers == (
        WorkerPlace(0, "10.0.0.5", 71, ("GPU-12ab",)),
        WorkerPlace(1, "10.0.0.6", 72, ("3",)),
    )
