"""How many workers are started, by what the nodes have and have free, asked as Ray Train asks."""

import os
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

os.environ["RAY_TRAIN_V2_ENABLED"] = "1"

import ray
from ray.train import ScalingConfig
from ray.train.v2._internal.execution.scaling_policy import NoopDecision, ResizeDecision

from orchestrator.events import Restarted
from orchestrator.job.schema import Job
from orchestrator.run_facts import Events
from orchestrator.store.folder import StorageTrouble
from orchestrator.store.run_folder import RunFolder
from orchestrator.train import sizing
from orchestrator.train.sizing import Sizing

Nodes = list[tuple[float, float | None]]
"""Of each node: its CPUs, and how many of them are free, None where Ray does not know yet."""


class Cluster:
    """Nodes by id as Ray would describe them, and a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.nodes: Nodes = []
        self.draining: set[str] = set()
        self.now = 100.0
        monkeypatch.setattr(ray, "nodes", self._nodes)
        monkeypatch.setattr(ray._private.state, "available_resources_per_node", self._free)
        monkeypatch.setattr(sizing, "draining_nodes", lambda: self.draining)
        clock = SimpleNamespace(
            monotonic=lambda: self.now, sleep=self._sleep, time=lambda: time.time() + self.now - 100
        )
        monkeypatch.setattr(sizing, "time", clock)
        monkeypatch.setattr(Sizing, "_maybe_send_resource_request", lambda _: None)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def _nodes(self) -> list[dict[str, Any]]:
        return [
            {"NodeID": str(number), "Alive": True, "Resources": {"CPU": cpus}}
            for number, (cpus, _) in enumerate(self.nodes)
        ]

    def _free(self) -> dict[str, dict[str, float]]:
        known = ((str(number), free) for number, (_, free) in enumerate(self.nodes))
        return {node: {"CPU": free} for node, free in known if free is not None}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster(monkeypatch)


@pytest.fixture
def policy(tmp_path: Path, tiny_job: Callable[..., Job]) -> Callable[[str], Sizing]:
    def make(workers: str) -> Sizing:
        job = tiny_job(f"cluster.num_workers={workers}", "training.global_batch=12")
        config = ScalingConfig(num_workers=job.cluster.most, resources_per_worker={"CPU": 1.0})
        return Sizing(config, job.plans, RunFolder(tmp_path))

    return make


def started(policy: Sizing) -> int | None:
    """Return with how many workers the policy starts now; None when it waits."""
    decision = policy.make_decision_for_non_running_worker_group()
    return decision.num_workers if isinstance(decision, ResizeDecision) else None


@pytest.mark.parametrize(
    ("nodes", "size"),
    [
        ([(8.0, 8.0)], 4),
        ([(1.0, 1.0), (1.0, 1.0), (1.0, 1.0)], 3),
        ([(2.0, 2.0)], 2),
        ([(0.0, 0.0), (1.5, 1.5)], 2),
    ],
)
def test_it_starts_as_many_as_fit_and_can_share_the_batch_and_are_allowed(
    cluster: Cluster, policy: Callable[[str], Sizing], nodes: Nodes, size: int
) -> None:
    cluster.nodes = nodes
    assert started(policy("{min: 2, max: 5}")) == size  # 5 do not divide 12


def waited(policy: Sizing, cluster: Cluster) -> tuple[int, float]:
    """Return with how many workers the policy starts, and after how many seconds."""
    begun = cluster.now
    while (count := started(policy)) is None:
        assert cluster.now - begun < 20
    return count, round(cluster.now - begun)


def test_what_other_jobs_hold_is_not_waited_for(
    cluster: Cluster, policy: Callable[[str], Sizing], capsys: pytest.CaptureFixture[str]
) -> None:
    elastic = policy("{min: 1, max: 3}")
    cluster.nodes = [(2.0, 1.0), (1.0, 0.0)]
    assert waited(elastic, cluster) == (1, 0)
    assert "Going on with 1 worker: global batch 12 = 1 workers x" in capsys.readouterr().out
    look(elastic, cluster, present=1)
    assert waited(elastic, cluster) == (2, 0)


def test_a_node_of_which_ray_knows_nothing_yet_is_waited_for_a_while(
    cluster: Cluster, policy: Callable[[str], Sizing]
) -> None:
    elastic = policy("{min: 1, max: 2}")
    cluster.nodes = [(1.0, 1.0), (1.0, None)]
    assert started(elastic) is None
    cluster.nodes = [(1.0, 1.0), (1.0, 1.0)]
    assert waited(elastic, cluster) == (2, 0)
    look(elastic, cluster, present=2)
    cluster.nodes = [(1.0, 0.0), (1.0, None)]  # the second one is being lost
    assert waited(elastic, cluster) == (1, 10)


def test_workers_that_were_lost_while_they_started_are_waited_for(
    cluster: Cluster, policy: Callable[[str], Sizing]
) -> None:
    elastic = policy("{min: 1, max: 2}")
    cluster.nodes = [(1.0, 1.0), (1.0, 1.0), (2.0, 0.0)]
    assert started(elastic) == 2
    cluster.nodes = [(1.0, 1.0), (1.0, 0.0), (2.0, 0.0)]
    assert started(elastic) is None
    cluster.nodes = [(1.0, 1.0), (1.0, 1.0), (2.0, 0.0)]
    assert started(elastic) == 2


@pytest.mark.parametrize(("ago", "expected"), [(5, (1, 10)), (60, (1, 0))])
def test_workers_of_a_driver_that_was_lost_a_moment_ago_are_waited_for(
    cluster: Cluster,
    policy: Callable[[str], Sizing],
    tmp_path: Path,
    ago: float,
    expected: tuple[int, float],
) -> None:
    restarted = Restarted(count=1, reason="The driver's process was killed.")
    Events(RunFolder(tmp_path)).say(restarted)
    cluster.now += ago
    cluster.nodes = [(1.0, 1.0), (1.0, 0.0)]
    assert waited(policy("{min: 1, max: 2}"), cluster) == expected


def test_a_fixed_number_starts_whatever_is_there(
    cluster: Cluster, policy: Callable[[str], Sizing]
) -> None:
    cluster.nodes = [(1.0, 0.0)]
    assert started(policy("3")) == 3


def look(policy: Sizing, cluster: Cluster, present: int) -> None:
    """Let the policy look at a group that works, a while later."""
    cluster.now += 10
    workers = [
        SimpleNamespace(metadata=SimpleNamespace(node_id=str(rank))) for rank in range(present)
    ]
    state = SimpleNamespace(workers=workers, start_time=0.0)
    decision = policy.make_decision_for_running_worker_group(state, None)
    assert isinstance(decision, NoopDecision)


def test_workers_leave_for_more_when_the_room_was_seen_twice(
    cluster: Cluster, policy: Callable[[str], Sizing], tmp_path: Path
) -> None:
    folder, elastic = RunFolder(tmp_path), policy("{min: 1, max: 3}")
    cluster.nodes = [(1.0, 0.0), (1.0, 0.0)]
    look(elastic, cluster, present=2)
    cluster.nodes.append((1.0, 1.0))
    look(elastic, cluster, present=2)
    assert not folder.end_is_asked()
    cluster.nodes.pop()
    look(elastic, cluster, present=2)
    cluster.nodes.append((1.0, 1.0))
    look(elastic, cluster, present=2)
    assert not folder.end_is_asked()
    look(elastic, cluster, present=2)
    assert folder.end_is_asked()
    assert not folder.stop_is_asked()
    cluster.nodes = [(1.0, 1.0)] * 3
    assert started(elastic) == 3
    assert not folder.end_is_asked()


def test_workers_that_left_for_more_in_vain_do_so_less_and_less_often(
    cluster: Cluster, policy: Callable[[str], Sizing], tmp_path: Path
) -> None:
    """Another job takes the free place whenever the workers leave for it."""
    folder, elastic = RunFolder(tmp_path), policy("{min: 1, max: 3}")
    asked: list[float] = []
    while cluster.now < 1100:
        cluster.nodes = [(1.0, 0.0), (1.0, 0.0), (1.0, 1.0)]
        look(elastic, cluster, present=2)
        if folder.leave_is_asked():
            asked.append(cluster.now)
            cluster.nodes[2] = (1.0, 0.0)
            assert started(elastic) == 2
    assert [after - before for before, after in pairwise(asked)] == [40, 70, 130, 250, 310]
    cluster.nodes[2] = (1.0, 1.0)
    while not folder.leave_is_asked():
        look(elastic, cluster, present=2)
    assert started(elastic) == 3
    look(elastic, cluster, present=3)
    cluster.nodes = [(1.0, 0.0)] * 2
    assert started(elastic) == 2  # one was lost with its node
    cluster.nodes.append((1.0, 1.0))
    look(elastic, cluster, present=2)
    look(elastic, cluster, present=2)
    assert folder.leave_is_asked()


def test_what_the_group_before_still_holds_counts_as_free(
    cluster: Cluster, policy: Callable[[str], Sizing]
) -> None:
    elastic = policy("{min: 1, max: 3}")
    cluster.nodes = [(1.0, 0.0), (1.0, 0.0)]
    look(elastic, cluster, present=2)
    cluster.nodes = [(1.0, 0.0), (1.0, 0.0), (1.0, 1.0)]  # one has joined, both workers leave
    begun = cluster.now
    assert (started(elastic), cluster.now) == (3, begun)
    cluster.nodes = [(1.0, 0.0)] * 3
    look(elastic, cluster, present=3)
    cluster.nodes.pop()  # one is lost with its worker
    assert (started(elastic), cluster.now - begun) == (2, 10)


def test_a_stop_that_comes_before_the_workers_starts_none(
    cluster: Cluster, policy: Callable[[str], Sizing], tmp_path: Path
) -> None:
    cluster.nodes = [(4.0, 4.0)]
    RunFolder(tmp_path).ask_to_stop()
    with pytest.raises(sizing.NothingStarted):
        started(policy("2"))


@pytest.mark.parametrize("workers", ["2", "{min: 1, max: 2}"])
def test_a_storage_that_does_not_answer_ends_no_run(
    cluster: Cluster,
    policy: Callable[[str], Sizing],
    monkeypatch: pytest.MonkeyPatch,
    workers: str,
) -> None:
    def trouble(*_: object) -> bool:
        raise StorageTrouble("no answer")

    for name in ("leave_is_asked", "ask_to_leave", "withdraw_leave", "stop_is_asked"):
        monkeypatch.setattr(RunFolder, name, trouble)
    given = policy(workers)
    cluster.nodes, cluster.draining = [(1.0, 1.0), (1.0, 1.0)], {"1"}
    look(given, cluster, present=2)
    cluster.draining = set()
    assert started(given) == 2


@pytest.mark.parametrize("workers", ["2", "{min: 1, max: 2}"])
def test_workers_leave_a_node_that_is_about_to_go(
    cluster: Cluster, policy: Callable[[str], Sizing], tmp_path: Path, workers: str
) -> None:
    folder, given = RunFolder(tmp_path), policy(workers)
    cluster.nodes = [(1.0, 0.0), (1.0, 0.0), (1.0, 1.0)]
    cluster.draining = {"2"}
    look(given, cluster, present=2)
    assert not folder.leave_is_asked()
    cluster.draining = {"1"}
    look(given, cluster, present=2)
    assert folder.leave_is_asked()
