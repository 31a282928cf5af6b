"""A job on a cluster that is already running: it lives there, the client may come and go."""

import json
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.run_facts import facts_of
from orchestrator.store.run_folder import RunFolder
from tests.mlflow_server import MlflowServer

Wait = Callable[..., None]

pytestmark = pytest.mark.ray

QUICKSTART = Path(__file__).parents[2] / "jobs" / "quickstart.yaml"


def test_a_job_outlives_its_client_is_seen_followed_stopped_and_resumed(
    orch: Any, wait_for: Wait, cluster: str, output: Path, mlflow_server: MlflowServer
) -> None:
    small = [
        *("--set", "data.limit_train=64", "--set", "data.limit_val=16"),
        *("--set", "cluster.num_workers=1"),
    ]
    started = orch(
        "submit",
        QUICKSTART,
        *("--address", cluster, "--detach", "--json", *small),
        *("--set", "training.epochs=200", "--set", f"output={output}"),
        *("--set", f"tracking.uri={mlflow_server.url}"),
        *("--set", "reference.published=cifar10_resnet18"),
    )
    assert started.returncode == 0, started.stderr
    run = json.loads(started.stdout)["run"]
    folder = RunFolder(output / run)
    wait_for(folder, lambda facts: facts.evaluated)
    check_ranks(orch, run)
    check_pages_of_ray(cluster, run)
    check_log(orch, cluster, run)

    follower = orch.start("logs", run, "-f")
    with follower:
        assert follower.stdout is not None
        assert any("epoch" in line for line in follower.stdout)
        stopped = orch("stop", run)
        assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    status = orch.status(run)
    assert status["state"] == "STOPPED"
    newest = folder.checkpoints()[-1]

    refused = orch("resume", run, "--detach", "--set", "optimizer.lr=0.5")
    assert refused.returncode == 2
    assert "optimizer.lr: 0.1 -> 0.5" in refused.stderr

    damage(Path(newest / "model.safetensors"))
    before = facts_of(folder).evaluated
    assert before is not None
    resumed = orch("resume", run, "--detach", "--set", "checkpoint.keep=1")
    assert resumed.returncode == 0, resumed.stderr
    wait_for(folder, lambda now: now.evaluated and now.evaluated.epoch > before.epoch)
    assert len(orch.status(run)["attempts"]) == 2
    assert f"{newest.name} is damaged: model.safetensors" in orch("logs", run).stdout
    assert (Path(folder.place) / f"damaged_{newest.name}").is_dir()
    assert orch("stop", run).returncode == 0
    check_record(mlflow_server, run, orch.status(run))


def check_ranks(orch: Any, run: str) -> None:
    """What the worker does and has printed is asked from its node; the status names it."""
    status = orch.status(run)
    assert status["evaluated"] is not None
    assert 0 < status["share_done"] < 1
    assert "> orchestrator/train/entry.py:" in orch("stacks", run).stdout
    assert "epoch 1: top1 8bit" in orch("logs", run, "--rank", "0").stdout
    [worker] = status["workers"]
    assert worker["rank"] == 0
    assert Path(f"/proc/{worker['pid']}/cmdline").read_bytes().startswith(b"ray::")


def check_pages_of_ray(cluster: str, run: str) -> None:
    """Ray's own list of jobs and its page of training runs show the run."""
    with urllib.request.urlopen(f"{cluster}/api/jobs/") as answer:
        assert run in {job["submission_id"] for job in json.load(answer)}
    with urllib.request.urlopen(f"{cluster}/api/train/v2/runs/v1") as answer:
        [shown] = [r for r in json.load(answer)["train_runs"] if run in r["name"]]
    assert shown["status"] == "RUNNING"


def check_log(orch: Any, cluster: str, run: str) -> None:
    """The dashboard's log page has sentences; the events are found beside it, complete."""
    with urllib.request.urlopen(f"{cluster}/api/jobs/{run}/logs") as answer:
        page = json.load(answer)["logs"]
    assert "epoch 1: top1 8bit" in page
    assert not [noise for noise in ("::orch", "Reporting", "Deprecation", "\x1b") if noise in page]
    events = [json.loads(line) for line in orch("logs", run, "--events").stdout.splitlines()]
    assert [event["n"] for event in events] == list(range(1, len(events) + 1))
    assert {"started", "progress", "evaluated"} <= {event["event"] for event in events}


def damage(file: Path) -> None:
    """Flip every bit of a file's last 64 bytes."""
    content = bytearray(file.read_bytes())
    content[-64:] = bytes(byte ^ 0xFF for byte in content[-64:])
    file.write_bytes(content)


def check_record(mlflow_server: MlflowServer, run: str, status: dict[str, Any]) -> None:
    """What the job recorded over HTTP is read back from the server."""
    run_id = status["mlflow"]["run_id"]
    seen = mlflow_server.run(run_id)
    assert seen["info"]["status"] == "KILLED"
    assert seen["info"]["run_name"] == f"{run[-4:]} quickstart"
    times = [int(seen["info"][key]) for key in ("start_time", "end_time")]
    assert times[0] < times[1] <= time.time() * 1000
    epochs = mlflow_server.series(run_id, "epoch")
    steps_each = epochs[0][0]
    assert steps_each > 1
    assert epochs == [(steps_each * epoch, epoch) for epoch in range(1, len(epochs) + 1)]
    for key in (*(f"top1/{bits}bit" for bits in (8, 6, 4, 2)), "train_loss/2bit", "delta_b"):
        steps = [step for step, _ in mlflow_server.series(run_id, key)]
        assert steps == [step for step, _ in epochs], key
    assert {"job.yaml", "environment.txt"} <= mlflow_server.artifacts(run_id)
    tags = {tag["key"]: tag["value"] for tag in seen["data"]["tags"]}
    assert "(#/metric?" in tags["mlflow.note.content"]
    assert status["mlflow"]["metrics_waiting"] == 0


def test_a_cluster_that_does_not_answer_is_one_clear_message(orch: Any, tmp_path: Path) -> None:
    start = time.monotonic()
    done = orch(
        "submit",
        QUICKSTART,
        *("--address", "http://127.0.0.1:9", "--set", f"output={tmp_path / 'runs'}"),
    )
    assert done.returncode == 3
    assert "http://127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - start < 60
    assert not (tmp_path / "runs").exists()
