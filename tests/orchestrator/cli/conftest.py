"""The command line in this process, with a home of its own and a fake cluster."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from orchestrator.cli import follow
from orchestrator.cli.main import cli
from orchestrator.cluster import tail
from orchestrator.runs import registry
from tests.fake_cluster import NODE, FakeCluster

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

ROWS = [{"point": "8bit", "metric": 91.0, "loss": 0.1, "reference": None, "ratio": None}]
EVENTS = [
    {
        "event": "started",
        "run": "r",
        "run_dir": "/runs/r",
        "mlflow_run_id": "1",
        "mlflow_uri": "sqlite:///x",
        "mlflow_link": "http://127.0.0.1:5000/#/experiments/1/runs/0?workflowType=machine_learning",
        "mlflow_command": "mlflow ui --backend-store-uri sqlite:///x",
    },
    {
        "event": "progress",
        "epoch": 0,
        "epochs": 2,
        "step": 3,
        "steps": 9,
        "samples_per_second": 12.5,
        "eta_seconds": 65,
        "loss": {"8bit": 2.25},
        "metric_name": None,
        "metric": {},
    },
    {
        "event": "evaluated",
        "epoch": 0,
        "epochs": 2,
        "metric_name": "top1",
        "metric": {"8bit": 91.0},
        "loss": {"8bit": 0.1},
    },
    {"event": "log", "level": "warning", "message": "one broken file"},
    {
        "event": "finished",
        "metric_name": "top1",
        "rows": ROWS,
        "delta_b": None,
        "delta_b_note": "No Delta_B",
        "table": "| 8bit | 91.00 |",
        "run_dir": "/runs/r",
    },
]


def log_of(*events: dict[str, Any]) -> str:
    """Return a job's log: Ray's own line and then the events."""
    return "Running entrypoint\n" + "".join(f"::orch {json.dumps(event)}\n" for event in events)


Orch = Callable[..., Result]
Submitted = Callable[..., str]


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of the test; nothing of the surroundings reaches it; nobody waits long."""
    for name in OUTSIDE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ORCH_HOME", str(tmp_path / "orch"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tail, "INTERVAL_SECONDS", 0.01)
    monkeypatch.setattr(follow, "POLL_SECONDS", 0.01)
    (tmp_path / "tiny.yaml").write_text(JOB)


@pytest.fixture
def orch() -> Orch:
    """Run a command as typed; standard output and error are told apart."""

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
def submitted(orch: Orch, cluster: FakeCluster) -> Submitted:
    """Submit the tiny job to the fake cluster; return the run's id."""

    def submit(*events: dict[str, object], name: str = "tiny", **facts: object) -> str:
        cluster.new_job = {"statuses": ["RUNNING"], "logs": [log_of(*events)], **facts}
        orch("submit", "tiny.yaml", "--address", cluster.url, "--detach", "--name", name)
        return registry.find(name).run

    return submit
