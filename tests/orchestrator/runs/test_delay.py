"""Why a run does not advance, on a cluster that is busy, silent or well."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.cluster.client import ClusterClient
from orchestrator.runs.delay import Delay, is_late, silence
from orchestrator.runs.registry import Record
from tests.fake_cluster import NODE, FakeCluster

Say = Callable[..., str]
PROGRESS = {"epoch": 1, "epochs": 3, "step": 4, "steps": 9, "next_within": 2.0, "time": 100.0}
LOST = {"count": 2, "reason": "The process of rank 1 died.", "time": 101.0}


@pytest.fixture
def say(cluster: FakeCluster, make_record: Callable[..., Record]) -> Say:
    """Return what is said of a run with these facts that was silent for so long."""
    record = make_record(
        address=cluster.url, job={"cluster": {"num_workers": 2, "loader_workers": 1}}
    )
    cluster.add(record.run)

    def sentence(facts: dict[str, Any], silent: float) -> str:
        return Delay(record, ClusterClient(cluster.url)).sentence(facts, silent)

    return sentence


def place(cluster: FakeCluster, state: str) -> None:
    """Let the places that the workers of the run asked for be in this state."""
    cluster.placement_groups = [
        {"creator_job_id": "ray-job-of-other", "state": "PENDING"},
        {"creator_job_id": "ray-job-of-digits-1", "state": "REMOVED"},
        {"creator_job_id": "ray-job-of-digits-1", "state": state},
    ]


def test_a_run_that_advances_costs_no_question(cluster: FakeCluster, say: Say) -> None:
    assert say({"progress": PROGRESS}, 3.0) == ""
    assert cluster.asked == []


def test_a_run_that_is_silent_for_long_says_when_a_dead_worker_is_given_up(
    cluster: FakeCluster, say: Say
) -> None:
    place(cluster, "CREATED")
    assert say({"progress": PROGRESS}, 16.0) == ""
    assert say({"progress": PROGRESS}, 25.0) == (
        "No progress for 25s; a worker that does not answer is given up after 1m05s."
    )
    assert "evaluation for 25s" in say({"progress": PROGRESS | {"step": 9}}, 25.0)


def test_slow_steps_are_no_silence(say: Say) -> None:
    slow = {"progress": PROGRESS | {"next_within": 60.0}}
    assert say(slow, 70.0) == ""
    assert say(slow, 76.0).startswith("No progress for 1m16s")


def test_lost_workers_are_told_at_once_until_the_new_ones_advance(
    cluster: FakeCluster, say: Say
) -> None:
    place(cluster, "CREATED")
    told = "The process of rank 1 died. The workers are being started again ..."
    assert say({"progress": PROGRESS, "restarted": LOST}, 0.0) == told
    assert is_late({"progress": PROGRESS, "restarted": LOST}, 0.0)
    later = PROGRESS | {"time": 110.0}
    assert say({"progress": later, "restarted": LOST}, 0.0) == ""


def test_a_run_without_room_says_what_it_waits_for_and_who_has_it(
    cluster: FakeCluster, say: Say
) -> None:
    place(cluster, "PENDING")
    cluster.add("wide-2.a3")
    cluster.add("done-3", statuses=["SUCCEEDED"])
    started = {"started": {"time": 1.0}}
    assert say(started, 3.0) == ""
    assert say(started, 6.0) == (
        "Waits for room for 2 workers with 2 CPUs each; the cluster has 1 node, 4 CPUs, 0 GPUs, "
        "used by wide-2."
    )


def test_after_a_lost_node_the_run_says_that_it_waits_for_room(
    cluster: FakeCluster, say: Say
) -> None:
    place(cluster, "RESCHEDULING")
    cluster.nodes = [NODE | {"resources_total": {"CPU": 2.0}}]
    assert say({"progress": PROGRESS, "restarted": LOST}, 1.0) == (
        "Waits for room for 2 workers with 2 CPUs each; the cluster has 1 node, 2 CPUs, 0 GPUs."
    )


def test_a_start_that_goes_well_says_nothing(cluster: FakeCluster, say: Say) -> None:
    place(cluster, "CREATED")
    assert say({"started": {"time": 1.0}}, 30.0) == ""


def test_a_cluster_that_cannot_tell_leaves_what_the_run_said(
    cluster: FakeCluster, say: Say
) -> None:
    cluster.failures = [500, 500, 500]
    assert say({"progress": PROGRESS}, 25.0).startswith("No progress for 25s")


def test_the_cluster_is_not_asked_at_every_look(
    cluster: FakeCluster, make_record: Callable[..., Record]
) -> None:
    delay = Delay(make_record(address=cluster.url), ClusterClient(cluster.url))
    for _ in range(5):
        delay.sentence({"progress": PROGRESS}, 25.0)
    assert cluster.asked == ["GET /api/jobs/"]


def test_silence_counts_from_the_last_fact_and_is_never_negative() -> None:
    now = time.time()
    assert silence({"state": "RUNNING", "progress": None}) is None
    facts = {"started": {"time": now - 50}, "progress": {"time": now - 20}}
    assert 20 <= (silence(facts) or 0) < 25
    assert silence({"progress": {"time": now + 60}}) == 0.0
