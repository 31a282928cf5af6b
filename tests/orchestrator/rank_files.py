"""Ranks that show themselves on a fake cluster, in files among its logs."""

import time
from dataclasses import replace

from orchestrator.rank_file import RankFile, file_name
from tests.fake_cluster import FakeCluster

FRAMES = """Thread 0x0000000000000007 (most recent call first):
  File "/lib/site-packages/torch/nn/functional.py", line 5 in conv2d
  File "/code/orchestrator/train/epoch.py", line 88 in train_epoch
"""


def show(
    cluster: FakeCluster, run: str, rank: int, pid: int, node: str = "", **facts: object
) -> None:
    """Let a process of a run show itself, on the node of its rank if on no other."""
    node = node or f"n{rank}"
    now = time.time()
    said = RankFile(
        run=run,
        rank=rank,
        world=2,
        pid=pid,
        thread=7,
        code="/code",
        output=(f"worker-{pid}.out", f"worker-{pid}.err"),
        began=now,
        seen=now,
        next_within=2.0,
    )
    text = replace(said, **facts).head + FRAMES  # type: ignore[arg-type]
    cluster.log_files[node, file_name(run, pid)] = text
    for name in said.output:
        cluster.log_files[node, name] = f"{name} of {run}\n"
