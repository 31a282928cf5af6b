"""What each rank does, and what each has printed, as a fake cluster keeps it."""

import json
import time

from orchestrator.cluster.client import ClusterClient
from orchestrator.runs.ranks import ranks_of
from orchestrator.runs.registry import Record
from tests.fake_cluster import FakeCluster
from tests.orchestrator.cli.conftest import Orch, Submitted
from tests.orchestrator.rank_files import show


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
