"""Metrics that wait in a run's folder: counted by status, sent without a cluster."""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from orchestrator.job.load import load_job
from orchestrator.runs import registry
from orchestrator.runs.registry import Attempt, Record
from orchestrator.store.run_folder import RunFolder
from orchestrator.track.journal import Journal
from orchestrator.track.recorder import open_run
from orchestrator.track.run import remembered_run
from tests.mlflow_server import MlflowServer
from tests.orchestrator import journals
from tests.orchestrator.cli.conftest import Orch

MakeRun = Callable[[str], Record]


@pytest.fixture
def ended(tmp_path: Path, mlflow_server: MlflowServer) -> MakeRun:
    """Make a run that has ended with two unsent metrics."""

    def make(state: str) -> Record:
        job = load_job("tiny.yaml", [f"tracking.uri={mlflow_server.url}"]).job
        outcome = {"state": state, "exit_code": 0, "message": "", "facts": {}}
        record = Record(
            run="tiny-1",
            name="tiny",
            job=job.as_dict(),
            job_file="tiny.yaml",
            address="http://127.0.0.1:9",
            local=False,
            run_dir=str(tmp_path / "runs" / "tiny-1"),
            attempts=(Attempt("tiny-1", time.time(), outcome),),
        )
        registry.save(record)
        folder = Path(record.run_dir)
        folder.mkdir(parents=True)
        (folder / "job.yaml").write_text(yaml.safe_dump(job.as_dict()))
        Journal(RunFolder(folder)).append(1, {"top1/8bit": 50.0, "top1/2bit": 40.0})
        return record

    return make


@pytest.mark.parametrize(
    ("state", "command", "said"),
    [
        ("SUCCEEDED", "sync", "FINISHED"),
        ("SUCCEEDED", "resume", "FINISHED"),
        ("FAILED", "sync", "FAILED"),
    ],
)
def test_waiting_metrics_are_counted_and_sent_without_a_cluster(
    orch: Orch, ended: MakeRun, mlflow_server: MlflowServer, state: str, command: str, said: str
) -> None:
    record = ended(state)
    assert "2 metrics wait to be sent; `orch sync tiny-1`" in orch("status", "tiny").stdout
    assert json.loads(orch("status", "tiny", "--json").stdout)["mlflow"]["metrics_waiting"] == 2
    done = orch(command, "tiny")
    assert done.exit_code == 0, done.output
    assert f"2 metrics sent; MLflow says {said}" in done.stdout
    run = remembered_run(record.folder)
    assert run is not None
    assert mlflow_server.run(run.run_id)["info"]["status"] == said
    assert mlflow_server.series(run.run_id, "top1/2bit") == [(1, 40.0)]
    assert "wait to be sent" not in orch("status", "tiny").stdout

    Journal(record.folder).append(2, {"loss[0]": 1.0})  # a name that MLflow does not accept
    mlflow_server.post("runs/delete", run_id=run.run_id)
    again = orch("sync", "tiny")
    assert "A new MLflow run takes its place" in again.stderr
    assert f"2 metrics sent; MLflow says {said}" in again.stdout
    assert f"0 metrics sent; MLflow says {said}" in orch("sync", "tiny").stdout


def test_what_waits_of_the_trials_of_a_search_is_sent_with_it(
    orch: Orch, ended: MakeRun, mlflow_server: MlflowServer
) -> None:
    record = replace(ended("STOPPED"), job={"search": journals.SEARCH})
    registry.save(record)
    journals.write(record, journals.half_done())
    for trial in ("t001", "t002", "t004"):
        folder = record.search_folder.of_run(trial)
        folder.make()
        folder.job.write(record.folder.job.read())
        Journal(folder).append(1, {"top1/2bit": 40.0})
    done = orch("sync", "tiny")
    assert done.exit_code == 0, done.output
    assert "5 metrics sent; MLflow says KILLED" in done.stdout
    said = {}
    for trial in ("t001", "t002", "t004"):
        run = remembered_run(record.search_folder.of_run(trial))
        assert run is not None
        assert mlflow_server.series(run.run_id, "top1/2bit") == [(1, 40.0)]
        seen = mlflow_server.run(run.run_id)
        tags = {tag["key"]: tag["value"] for tag in seen["data"]["tags"]}
        said[trial] = (seen["info"]["status"], tags["orch.end"])
    assert said == {
        "t001": ("FINISHED", "finished after epoch 3, step 30"),
        "t002": ("KILLED", "stopped early after epoch 1, step 10: 61 < 80, asha"),
        "t004": ("KILLED", "interrupted after epoch 1, step 10, goes on with its search"),
    }

    open_run(run.uri, "orch", folder.name, folder)
    assert mlflow_server.run(run.run_id)["info"]["status"] == "RUNNING"
    assert "0 metrics sent" in orch("sync", "tiny").stdout
    assert mlflow_server.run(run.run_id)["info"]["status"] == "KILLED"


def test_a_search_with_a_damaged_journal_is_sent_as_far_as_it_can_be_and_said(
    orch: Orch, ended: MakeRun, mlflow_server: MlflowServer
) -> None:
    record = replace(ended("STOPPED"), job={"search": journals.SEARCH})
    registry.save(record)
    journals.write(record, journals.half_done())
    folder = record.search_folder.of_run("t001")
    folder.make()
    folder.job.write(record.folder.job.read())
    Journal(folder).append(1, {"top1/2bit": 40.0})
    journal = Path(record.run_dir) / "search.jsonl"
    first, line, rest = journal.read_bytes().partition(b"\n")
    journal.write_bytes(b"\xff" + line + rest)
    done = orch("sync", "tiny")
    assert done.exit_code == 2
    assert "3 metrics sent; MLflow says KILLED" in done.stdout
    assert done.stderr.startswith(f"{journal} is damaged or gone: ")
    assert "`orch resume tiny-1` writes" in done.stderr
    run = remembered_run(folder)
    assert run is not None
    assert mlflow_server.series(run.run_id, "top1/2bit") == [(1, 40.0)]

    journal.write_bytes(first + line + rest)
    assert orch("sync", "tiny").exit_code == 0
    tags = {tag["key"]: tag["value"] for tag in mlflow_server.run(run.run_id)["data"]["tags"]}
    assert tags["orch.end"] == "finished after epoch 3, step 30"


def test_the_page_of_a_search_is_sent_with_it(
    orch: Orch, ended: MakeRun, mlflow_server: MlflowServer
) -> None:
    record = replace(ended("SUCCEEDED"), job={"search": journals.SEARCH})
    registry.save(record)
    record.search_folder.table.write("| trial |")
    assert orch("sync", "tiny").exit_code == 0
    run = remembered_run(record.folder)
    assert run is not None
    assert "trials.md" in mlflow_server.artifacts(run.run_id)


def test_a_run_that_ended_before_it_had_a_folder_has_nothing_to_send(
    orch: Orch, ended: MakeRun
) -> None:
    record = ended("FAILED")
    shutil.rmtree(record.run_dir)
    done = orch("sync", "tiny")
    assert done.exit_code == 2
    assert f"{record.run} has no folder" in done.stderr
