"""What each rank does, and what each has printed, as a fake cluster keeps it."""

import json
import time
from dataclasses import replace

import pytest

from orchestrator.cluster.client import ClusterClient
from orchestrator.events import to_line
from orchestrator.rank_file import RankFile, file_name
from orchestrator.runs.ranks import ranks_of
from orchestrator.runs.registry import Record
from tests.fake_cluster import NODE, FakeCluster
from tests.orchestrator.cli.conftest import Orch, Submitted
from tests.orchestrator.statements import EVALUATED

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


@pytest.fixture
def nodes(cluster: FakeCluster) -> FakeCluster:
    """A cluster of two machines beside the head, and one that is gone."""
    cluster.nodes = [
        *(NODE | {"node_id": f"n{n}", "node_ip": f"10.0.0.{n}"} for n in range(2)),
        NODE | {"node_id": "n9", "state": "DEAD"},
    ]
    return cluster


def test_each_rank_is_shown_with_its_calls_and_one_that_does_not_answer_is_said_to(
    orch: Orch, submitted: Submitted, nodes: FakeCluster
) -> None:
    run = submitted()
    show(nodes, run, 0, 71)
    show(nodes, run, 1, 72, seen=time.time() - 60)
    done = orch("stacks", run)
    assert done.exit_code == 0
    first, *rest = done.stdout.splitlines()
    assert first == "rank 0  pid 71 on 10.0.0.0, 0s ago"
    assert rest[:3] == [
        "    torch/nn/functional.py:5  conv2d",
        "  > orchestrator/train/epoch.py:88  train_epoch",
        "",
    ]
    assert rest[3] == "rank 1  pid 72 on 10.0.0.1, DOES NOT ANSWER; what it did 1m00s ago:"
    printed = json.loads(orch("stacks", run, "--json").stdout)
    assert [(each["rank"], each["answers"]) for each in printed] == [(0, True), (1, False)]
    assert printed[0]["threads"][0][1] == {
        "place": "orchestrator/train/epoch.py:88",
        "function": "train_epoch",
        "own": True,
    }


def test_of_a_rank_that_was_replaced_the_new_process_counts_and_what_is_missing_is_named(
    orch: Orch, submitted: Submitted, nodes: FakeCluster
) -> None:
    run = submitted()
    show(nodes, run, 0, 70, began=time.time() - 5)
    show(nodes, run, 0, 71)
    show(nodes, run, 1, 72, ended=True)
    show(nodes, "other-1", 1, 73)
    done = orch("stacks", run)
    assert [line for line in done.stdout.splitlines() if line.startswith("rank")] == [
        "rank 0  pid 71 on 10.0.0.0, 0s ago"
    ]
    assert "Nothing is seen of rank 1" in done.stderr


def test_fewer_workers_than_before_leave_no_ghosts(
    orch: Orch, submitted: Submitted, nodes: FakeCluster
) -> None:
    run = submitted()
    show(nodes, run, 1, 72, began=time.time() - 5, seen=time.time() - 60)
    show(nodes, run, 0, 71, world=1)
    done = orch("stacks", run)
    assert "rank 1" not in done.stdout + done.stderr


def test_a_node_that_does_not_answer_is_named(
    orch: Orch, submitted: Submitted, nodes: FakeCluster
) -> None:
    run = submitted()
    show(nodes, run, 0, 71)
    nodes.silent_nodes = {"n1"}
    assert "The node 10.0.0.1 does not answer" in orch("stacks", run).stderr


def test_of_a_run_that_has_not_begun_or_has_ended_nothing_is_shown(
    orch: Orch, submitted: Submitted, nodes: FakeCluster
) -> None:
    run = submitted()
    show(nodes, run, 0, 71, began=time.time() - 3600)
    early = orch("stacks", run)
    assert (early.exit_code, early.stdout) == (3, "")
    assert f"No rank of {run}, which is RUNNING, has begun to train" in early.stderr
    nodes.jobs[run].statuses = ["FAILED"]
    late = orch("stacks", run)
    assert (late.exit_code, f"{run} is FAILED" in late.stderr) == (2, True)


def test_a_search_is_shown_with_all_trials_that_are_trained_and_a_trial_alone(
    orch: Orch, search: Record, nodes: FakeCluster
) -> None:
    show(nodes, "digits-1", 0, 71, trial="t001s1", world=1)
    show(nodes, "digits-1", 0, 72, "n1", trial="t002", world=1)
    shown = orch("stacks", "digits-1").stdout
    assert "t001s1  rank 0  pid 71 on 10.0.0.0" in shown
    assert "t002  rank 0  pid 72 on 10.0.0.1" in shown
    client = ClusterClient(nodes.url)
    alone = [ranks_of(search.of_trial(trial), client).found for trial in ("t001", "t002", "t003")]
    assert [[rank.said.pid for rank in ranks] for ranks in alone] == [[71], [72], []]


def test_the_output_of_a_rank_is_that_of_all_its_processes_the_oldest_first(
    orch: Orch, submitted: Submitted, nodes: FakeCluster
) -> None:
    run = submitted()
    show(nodes, run, 0, 71)
    show(nodes, run, 1, 73)
    show(nodes, run, 1, 72, began=time.time() - 5)
    nodes.log_files["n1", "worker-73.out"] = f":job_id:03000000\n{to_line(EVALUATED)}\n"
    done = orch("logs", run, "--rank", "1")
    assert done.stdout.splitlines() == [
        f"worker-72.out of {run}",
        f"worker-72.err of {run}",
        "epoch 1: top1 8bit 91.0",
        f"worker-73.err of {run}",
    ]
    headings = [line.partition(", from")[0] for line in done.stderr.splitlines()]
    assert headings == ["Rank 1, pid 72 on 10.0.0.1", "Rank 1, pid 73 on 10.0.0.1"]
    unknown = orch("logs", run, "--rank", "7")
    assert (unknown.exit_code, "only of 0, 1." in unknown.stderr) == (2, True)
    assert orch("logs", run, "--rank", "1", "-f").exit_code == 2
