"""Why a run does not advance, on a cluster that is busy, silent or well."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from orchestrator.cluster.client import ClusterClient
from orchestrator.events import Restarted
from orchestrator.run_facts import RunFacts
from orchestrator.runs.delay import Delay, is_late, silence
from orchestrator.runs.registry import Record
from orchestrator.state import State
from tests.fake_cluster import NODE, FakeCluster
from tests.orchestrator.statements import PROGRESS, STARTED

Say = Callable[..., str]
AT = replace(PROGRESS, epoch=1, epochs=3, step=4, steps=9, next_within=2.0, time=100.0)
ON_ITS_WAY = RunFacts(progress=AT)
LOST = Restarted(count=2, reason="The process of rank 1 died.", time=101.0)
JUST_STARTED = RunFacts(started=replace(STARTED, time=1.0))


@pytest.fixture
def say(cluster: FakeCluster, make_record: Callable[..., Record]) -> Say:
    """Return the sentence for a run with these facts that was silent for so long."""
    record = make_record(
        address=cluster.url, job={"cluster": {"num_workers": 2, "loader_workers": 1}}
    )
    cluster.add(record.run)

    def sentence(facts: RunFacts, silent: float) -> str:
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
    assert say(ON_ITS_WAY, 3.0) == ""
    assert cluster.asked == []


def test_a_run_that_is_silent_for_long_says_when_a_dead_worker_is_given_up(
    cluster: FakeCluster, say: Say
) -> None:
    place(cluster, "CREATED")
    assert say(ON_ITS_WAY, 16.0) == ""
    assert say(ON_ITS_WAY, 25.0) == (
        "No progress for 25s; a worker that does not answer is given up after 45s. "
        "`orch stacks digits-1` shows what each rank does."
    )
    assert "evaluation for 25s" in say(RunFacts(progress=replace(AT, step=9)), 25.0)


def test_slow_steps_are_no_silence(say: Say) -> None:
    slow = RunFacts(progress=replace(AT, next_within=60.0))
    assert say(slow, 70.0) == ""
    assert say(slow, 76.0).startswith("No progress for 1m16s")


def test_lost_workers_are_reported_at_once_until_the_new_ones_advance(
    cluster: FakeCluster, say: Say
) -> None:
    place(cluster, "CREATED")
    expected = "The process of rank 1 died. The workers are being restarted ..."
    assert say(RunFacts(progress=AT, restarts=(LOST,)), 0.0) == expected
    assert is_late(RunFacts(progress=AT, restarts=(LOST,)), 0.0)
    later = replace(AT, time=110.0)
    assert say(RunFacts(progress=later, restarts=(LOST,)), 0.0) == ""
    again = replace(STARTED, time=110.0)
    assert say(RunFacts(started=again, progress=AT, restarts=(LOST,)), 0.0) == ""


def test_a_run_without_room_says_what_it_waits_for_and_who_has_it(
    cluster: FakeCluster, say: Say
) -> None:
    place(cluster, "PENDING")
    cluster.add("wide-2.a3")
    cluster.add("done-3", statuses=["SUCCEEDED"])
    assert say(JUST_STARTED, 3.0) == ""
    assert say(JUST_STARTED, 6.0) == (
        "Waiting for room for 2 workers with 2 CPUs each; the cluster has 1 node, 4 CPUs, 0 GPUs, "
        "used by wide-2. So far for 6s; `orch stop digits-1` ends the waiting."
    )


def test_after_a_lost_node_the_run_says_that_it_waits_for_room(
    cluster: FakeCluster, say: Say
) -> None:
    place(cluster, "RESCHEDULING")
    cluster.nodes = [NODE | {"resources_total": {"CPU": 2.0}}]
    assert say(RunFacts(progress=AT, restarts=(LOST,)), 1.0) == (
        "Waiting for room for 2 workers with 2 CPUs each; the cluster has 1 node, 2 CPUs, 0 GPUs. "
        "Ray takes up to half a minute to know which nodes are left. "
        "So far for 1s; `orch stop digits-1` ends the waiting."
    )


def test_a_start_that_goes_well_says_nothing(cluster: FakeCluster, say: Say) -> None:
    place(cluster, "CREATED")
    assert say(JUST_STARTED, 30.0) == ""


def test_a_cluster_that_cannot_answer_leaves_what_the_run_said(
    cluster: FakeCluster, say: Say
) -> None:
    cluster.failures = [500, 500, 500]
    assert say(ON_ITS_WAY, 25.0).startswith("No progress for 25s")


def test_the_cluster_is_not_asked_at_every_look(
    cluster: FakeCluster, make_record: Callable[..., Record]
) -> None:
    delay = Delay(make_record(address=cluster.url), ClusterClient(cluster.url))
    for _ in range(5):
        delay.sentence(ON_ITS_WAY, 25.0)
    assert cluster.asked == ["GET /api/jobs/"]


def test_silence_counts_from_the_last_fact_and_is_never_negative() -> None:
    now = time.time()
    assert silence(RunFacts(state=State.RUNNING)) is None
    facts = RunFacts().after(replace(STARTED, time=now - 50), replace(AT, time=now - 20))
    assert 20 <= (silence(facts) or 0) < 25
    assert silence(RunFacts(progress=replace(AT, time=now + 60))) == 0.0
