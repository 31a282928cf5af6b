"""Against a real MLflow store: a sqlite file."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import Unreachable
from orchestrator.run_facts import Events
from orchestrator.store.run_folder import RunFolder
from orchestrator.track import delivery, recorder
from orchestrator.track.journal import Journal
from orchestrator.track.run import TrackedRun, remembered_run
from tests.mlflow_server import MlflowServer
from tests.orchestrator.statements import ARITHMETIC
from tests.orchestrator.track.recorded import record


@pytest.fixture
def uri(database: str) -> str:
    return database


def history(uri: str, run: TrackedRun, key: str) -> list[tuple[int, float]]:
    from mlflow.tracking import MlflowClient

    rows = MlflowClient(tracking_uri=uri).get_metric_history(run.run_id, key)
    return [(row.step, row.value) for row in rows]


@pytest.mark.parametrize("over_http", [True, False], ids=["over HTTP", "directly into sqlite"])
def test_a_recorded_run_is_seen_through_a_server_as_it_was_recorded(
    mlflow_server: MlflowServer, tmp_path: Path, over_http: bool
) -> None:
    began = time.time() * 1000
    uri = mlflow_server.url if over_http else mlflow_server.database
    run = recorder.open_run(
        uri, f"over HTTP: {over_http}", "digits-20260102-030405-a1b2", RunFolder(tmp_path)
    )
    recorder.describe(run, {"lr": "0.1"}, {"job.yaml": "name: digits"})
    for epoch in (1, 2):
        metrics = {f"top1/{bits}bit": 10.0 * bits + epoch for bits in (8, 2)}
        metrics["delta_b"] = 99.5
        record(run, RunFolder(tmp_path), 30 * epoch, epoch, metrics)
    recorder.close_run(run, RunFolder(tmp_path), "FINISHED", "| a table |")
    ended = time.time() * 1000

    found = mlflow_server.post("runs/search", experiment_ids=[run.experiment_id])["runs"]
    assert run.run_id in [seen["info"]["run_id"] for seen in found]
    seen = mlflow_server.run(run.run_id)
    assert seen["info"]["run_name"] == "a1b2 digits"
    assert seen["info"]["status"] == "FINISHED"
    times = [int(seen["info"][key]) for key in ("start_time", "end_time")]
    assert [int(began), *times, int(ended)] == sorted([int(began), *times, int(ended)])
    assert mlflow_server.series(run.run_id, "top1/8bit") == [(30, 81.0), (60, 82.0)]
    assert mlflow_server.series(run.run_id, "top1/2bit") == [(30, 21.0), (60, 22.0)]
    assert mlflow_server.series(run.run_id, "delta_b") == [(30, 99.5), (60, 99.5)]
    assert mlflow_server.series(run.run_id, "epoch") == [(30, 1.0), (60, 2.0)]
    assert mlflow_server.artifacts(run.run_id) == {"job.yaml", "results.md"}
    tags = {tag["key"]: tag["value"] for tag in seen["data"]["tags"]}
    assert tags["orch.run"] == "digits-20260102-030405-a1b2"


def test_metrics_reach_mlflow_once_even_when_sent_and_logged_twice(
    uri: str, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.make()
    run = recorder.open_run(uri, "tests", "one", folder)
    record(run, folder, 0, 1, {"top1/8bit": 50.0})
    folder.place.remove("metrics.sent")
    record(run, folder, 0, 1, {"top1/8bit": 50.0})
    record(run, folder, 1, 1, {"top1/8bit": 60.0})
    assert history(uri, run, "top1/8bit") == [(0, 50.0), (1, 60.0)]


def test_a_run_is_opened_again_by_the_folder_that_remembers_it(uri: str, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.make()
    run = recorder.open_run(uri, "tests", "two", folder)
    recorder.describe(run, {"lr": "0.1"}, {"job.yaml": "name: two"})
    recorder.close_run(run, folder, "FINISHED", "| a table |")
    again = recorder.open_run(uri, "tests", "two", folder)
    recorder.describe(again, {"lr": "0.1"}, {})
    assert again == run


def test_a_run_that_moves_to_another_server_takes_its_metrics_along(
    uri: str, tmp_path: Path, new_database: Callable[[Path], str]
) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.make()
    first = recorder.open_run(uri, "tests", "three", folder)
    record(first, folder, 0, 1, {"top1/8bit": 50.0})
    elsewhere = new_database(tmp_path)
    moved = recorder.open_run(elsewhere, "tests", "three", folder)
    assert moved.run_id != first.run_id
    delivery.deliver_all(moved, folder, pytest.fail)
    assert history(elsewhere, moved, "top1/8bit") == [(0, 50.0)]
    assert remembered_run(folder) == moved


def test_a_server_that_is_away_is_unreachable_and_keeps_the_metrics_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    nowhere = "http://127.0.0.1:9"
    with pytest.raises(
        Unreachable, match=r"http://127\.0\.0\.1:9 does not answer \(Connection refused\)"
    ):
        recorder.check_reachable(nowhere, "orch")
    journal = Journal(RunFolder(tmp_path))
    journal.log(0, 1, {"a": 1.0, "b": 2.0})
    with pytest.raises(Unreachable):
        delivery.deliver(TrackedRun(nowhere, "1", "0" * 32), RunFolder(tmp_path), pytest.fail)
    assert journal.waiting() == 3


def test_links_lead_to_the_page_of_the_run() -> None:
    served = TrackedRun("http://host:5000/", "3", "abc")
    assert served.link == (
        "http://host:5000/#/experiments/3/runs/abc?workflowType=machine_learning"
    )
    assert served.command is None
    stored = TrackedRun("sqlite:////tmp/mlflow.db", "3", "abc")
    assert stored.link.startswith("http://127.0.0.1:5000/#/experiments/3/runs/abc?")
    assert stored.command is not None
    assert stored.command.endswith("mlflow ui --backend-store-uri sqlite:////tmp/mlflow.db")


def test_asking_for_a_file_that_is_not_there_yet_makes_none(tmp_path: Path) -> None:
    recorder.check_reachable(f"sqlite:///{tmp_path / 'mlflow.db'}", "orch")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["with space", "a#b", "100%25", "café", "what?", "a'b;$c"])
def test_the_printed_command_names_the_very_database_after_the_shell_has_read_it(
    tmp_path: Path, name: str
) -> None:
    from sqlalchemy import create_engine, text

    (tmp_path / name).mkdir()
    uri = recorder.tracking_uri(None, str(tmp_path / name))
    command = TrackedRun(uri, "1", "2").command
    assert command is not None
    echo = f'set -- {command}; printf %s "$4"; exit $(($# - 4))'
    read = subprocess.run(["sh", "-c", echo], capture_output=True, text=True, check=True).stdout
    engine = create_engine(read)
    with engine.begin() as connection:
        connection.execute(text("create table seen (x)"))
    engine.dispose()
    assert (tmp_path / name / "mlflow.db").exists()


def test_the_record_says_how_the_run_computes_at_present(uri: str, tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    folder = RunFolder(tmp_path / "run")
    folder.make()
    run = recorder.open_run(uri, "tests", "arithmetic", folder)
    seen = []
    for step, how in enumerate((ARITHMETIC, replace(ARITHMETIC, kernel="tf32"))):
        Events(folder).say(how)
        record(run, folder, step, 1, {"top1/8bit": 50.0})
        seen.append(MlflowClient(tracking_uri=uri).get_run(run.run_id).data.tags["orch.arithmetic"])
    ending = "backward in float32; exact for sums below 2^31, on every rank"
    assert seen == [f"integer (int8), {ending}", f"integer (tf32), {ending}"]
