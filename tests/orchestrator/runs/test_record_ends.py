"""Whoever notices the end of a run whose driver was killed sets its record in MLflow right."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.cli.sync import send_the_rest
from orchestrator.events import to_line
from orchestrator.job.schema import Job
from orchestrator.job.source import dump
from orchestrator.runs import record_ends, registry, view
from orchestrator.runs.registry import Record
from orchestrator.state import State
from orchestrator.store.run_folder import RunFolder
from orchestrator.strict_json import dumps
from orchestrator.track import recorder
from orchestrator.track.run import TrackedRun, remember
from orchestrator.typed_json import plain
from tests.fake_cluster import FakeCluster
from tests.mlflow_server import MlflowServer
from tests.orchestrator import journals
from tests.orchestrator.statements import FINISHED, RECORD, STARTED

Make = Callable[..., Record]


@pytest.fixture(autouse=True)
def all_servers_are_asked() -> None:
    record_ends._silent.clear()


def recorded(mlflow_server: MlflowServer, record: Record) -> TrackedRun:
    folder = Path(record.run_dir)
    folder.mkdir(parents=True)
    return recorder.open_run(mlflow_server.url, "ends", record.run, RunFolder(folder))


@pytest.mark.parametrize("look", [view.look, lambda record: view.look_all([record])])
@pytest.mark.parametrize(("state", "said"), [("FAILED", "FAILED"), ("STOPPED", "KILLED")])
def test_a_run_whose_driver_was_killed_is_ended_in_mlflow_by_who_looks(
    cluster: FakeCluster,
    make_record: Make,
    mlflow_server: MlflowServer,
    look: Callable[[Record], object],
    state: str,
    said: str,
) -> None:
    record = make_record(address=cluster.url)
    run = recorded(mlflow_server, record)
    cluster.add(record.run, statuses=["RUNNING", state], exit_code=137)
    registry.save(record)
    look(record)
    assert mlflow_server.run(run.run_id)["info"]["status"] == "RUNNING"
    look(record)
    assert mlflow_server.run(run.run_id)["info"]["status"] == said


@pytest.mark.parametrize("before", ["RUNNING", "KILLED"])
def test_a_finished_run_that_was_stopped_while_it_sent_its_metrics_is_finished_in_mlflow(
    cluster: FakeCluster,
    make_record: Make,
    mlflow_server: MlflowServer,
    tiny_job: Callable[..., Job],
    before: str,
) -> None:
    record = make_record(address=cluster.url)
    run = recorded(mlflow_server, record)
    record.folder.result.write(dumps(plain(FINISHED)))
    record.folder.job.write(dump(tiny_job(f"tracking.uri={mlflow_server.url}").as_dict()))
    if before == "KILLED":
        recorder.close_run(run, record.folder, before)
    cluster.add(record.run, statuses=["STOPPED"], exit_code=1)
    registry.save(record)
    seen = view.look(record)
    if before == "KILLED":
        send_the_rest(seen)
    assert mlflow_server.run(run.run_id)["info"]["status"] == "FINISHED"


def test_the_trials_of_a_search_whose_driver_was_killed_are_ended_with_it(
    cluster: FakeCluster, make_record: Make, mlflow_server: MlflowServer
) -> None:
    record = make_record(address=cluster.url)
    run = recorded(mlflow_server, record)
    search = record.search_folder
    journals.write(record, journals.half_done())
    trials = [search.of_run(name) for name in ("t001", "t002", "t003", "t004")]
    for folder in trials:
        folder.make()
    runs = [recorder.open_run(mlflow_server.url, "ends", f.name, f) for f in trials]
    cluster.add(record.run, statuses=["FAILED"], exit_code=137)
    registry.save(record)
    view.look(record)
    said = [mlflow_server.run(one.run_id)["info"]["status"] for one in (*runs, run)]
    assert said == ["FINISHED", "KILLED", "FAILED", "KILLED", "FAILED"]


def test_a_lost_run_is_ended_at_its_last_sign_of_life(
    cluster: FakeCluster, make_record: Make, mlflow_server: MlflowServer
) -> None:
    record = make_record(address=cluster.url)
    run = recorded(mlflow_server, record)
    sign = Path(record.run_dir) / "progress.json"
    sign.write_text("{}")
    assert view.look(record).state is State.LOST
    info = mlflow_server.run(run.run_id)["info"]
    assert info["status"] == "FAILED"
    assert int(info["end_time"]) == int(sign.stat().st_mtime * 1000)


def test_a_run_that_is_recorded_elsewhere_is_ended_by_what_its_log_said(
    cluster: FakeCluster, make_record: Make, mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    run = recorder.open_run(mlflow_server.url, "ends", "digits-1", RunFolder(tmp_path))
    record = make_record(address=cluster.url, run_dir="/not/on/this/machine")
    registry.save(record)
    where = replace(RECORD, uri=run.uri, run_id=run.run_id)
    started = f"{to_line(replace(STARTED, mlflow=where))}\n"
    cluster.add(record.run, statuses=["FAILED"], exit_code=137, logs=[started])
    view.look(record)
    assert mlflow_server.run(run.run_id)["info"]["status"] == "FAILED"


def test_a_server_that_is_away_costs_little_and_is_asked_again_by_the_next_command(
    cluster: FakeCluster, make_record: Make
) -> None:
    records = [make_record(f"digits-{i}", address=cluster.url) for i in range(3)]
    for record in records:
        folder = Path(record.run_dir)
        folder.mkdir(parents=True)
        remember(RunFolder(folder), TrackedRun("http://127.0.0.1:9", "1", "0" * 32), "RUNNING")
    began = time.monotonic()
    assert {seen.state for seen in view.look_all(records)} == {State.LOST}
    assert time.monotonic() - began < 10
    assert record_ends._silent == {"http://127.0.0.1:9"}


def test_where_all_is_said_mlflow_is_not_even_imported(tmp_path: Path) -> None:
    remember(RunFolder(tmp_path), TrackedRun("http://127.0.0.1:9", "1", "0" * 32), "FAILED")
    program = (
        "import sys; from pathlib import Path\n"
        "from orchestrator.run_facts import RunFacts\n"
        "from orchestrator.runs import record_ends\n"
        "from orchestrator.state import State\n"
        "from orchestrator.store.run_folder import RunFolder\n"
        f"folder = RunFolder(Path({str(tmp_path)!r}))\n"
        "record_ends.notice(State.FAILED, folder, RunFacts(), first_time=False)\n"
        "sys.exit('mlflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
