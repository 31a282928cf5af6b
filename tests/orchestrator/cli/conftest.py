"""The command line in this process, with a home of its own and a fake cluster."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from orchestrator.cli import wait
from orchestrator.cli.main import cli
from orchestrator.cluster import tail
from orchestrator.events import Event
from orchestrator.runs import registry
from orchestrator.runs.registry import Record
from tests.fake_cluster import NODE, FakeCluster
from tests.orchestrator import journals
from tests.orchestrator.statements import EVENTS, log_of

OUTSIDE = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_TOKEN", "MLFLOW_TRACKING_URI")

JOB = """
name: tiny
model: {name: resnet18_cifar, widths: [4, 8], depths: [1, 1]}
data: {name: cifar10, root: nowhere}
method: {name: coquant}
optimizer: {lr: 0.05}
training: {epochs: 2, global_batch: 24}
cluster: {num_workers: 2, max_batch_per_worker: 4}
output: runs
"""

Orch = Callable[..., Result]
Submitted = Callable[..., str]


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of the test, cut off from the environment, with short timeouts."""
    for name in OUTSIDE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ORCH_HOME", str(tmp_path / "orch"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tail, "INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(wait, "POLL_SECONDS", 0.01)
    (tmp_path / "tiny.yaml").write_text(JOB)


@pytest.fixture
def orch() -> Orch:
    """Run a command as typed; standard output and error are kept apart."""

    def run(*arguments: str, **options: Any) -> Result:
        return CliRunner().invoke(cli, arguments, **options)

    return run


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    """A cluster on another machine, to which a port is forwarded; its next job succeeds."""
    with FakeCluster() as served:
        served.nodes = [NODE | {"node_ip": "203.0.113.7"}]
        served.new_job = {
            "statuses": ["PENDING", "RUNNING", "SUCCEEDED"],
            "logs": [log_of(*EVENTS)],
        }
        served.new_job["exit_code"] = 0
        yield served


@pytest.fixture
def nodes(cluster: FakeCluster) -> FakeCluster:
    """A cluster of two machines beside the head, and one that is gone."""
    cluster.nodes = [
        *(NODE | {"node_id": f"n{n}", "node_ip": f"10.0.0.{n}"} for n in range(2)),
        NODE | {"node_id": "n9", "state": "DEAD"},
    ]
    return cluster


@pytest.fixture
def submitted(orch: Orch, cluster: FakeCluster) -> Submitted:
    """Submit the tiny job to the fake cluster; return the run's id."""

    def submit(*events: Event, name: str = "tiny", **facts: object) -> str:
        cluster.new_job = {"statuses": ["RUNNING"], "logs": [log_of(*events)], **facts}
        orch("submit", "tiny.yaml", "--address", cluster.url, "--detach", "--name", name)
        return registry.find(name).run

    return submit


@pytest.fixture
def search(cluster: FakeCluster, tmp_path: Path) -> Record:
    """The record of a search that runs on the fake cluster; its folder may be seen here."""
    return searched("digits-1", cluster, tmp_path)


def searched(run: str, cluster: FakeCluster, folder: Path) -> Record:
    """Return the record of a running search."""
    attempt = registry.Attempt(run, time.time())
    job = {"name": run, "search": journals.SEARCH}
    place = str(folder / "runs" / run)
    record = Record(run, run[:-2], job, "digits.yaml", cluster.url, False, place, (attempt,))
    registry.save(record)
    cluster.add(run)
    return record
