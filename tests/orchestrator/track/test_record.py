"""The record of a run in a real database, created and repaired from the run's folder."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from orchestrator.errors import RecordGone, UsageError
from orchestrator.job.schema import Job
from orchestrator.store.run_folder import RunFolder
from orchestrator.strict_json import dumps
from orchestrator.track import delivery, record
from orchestrator.track.journal import Journal
from orchestrator.track.run import TrackedRun
from orchestrator.typed_json import plain
from tests.mlflow_server import MlflowServer
from tests.orchestrator.statements import FINISHED
from tests.orchestrator.track import recorded

RUN = "tiny-20260102-030405-a1b2"


@pytest.fixture
def uri(new_database: Callable[[Path], str], tmp_path: Path) -> str:
    return new_database(tmp_path)


@pytest.fixture
def folder(tiny_job: Callable[..., Job], tmp_path: Path, uri: str) -> RunFolder:
    folder = RunFolder(tmp_path / "runs" / RUN)
    folder.make()
    job = tiny_job(f"tracking.uri={uri}")
    folder.job.write(yaml.safe_dump(job.as_dict()))
    return folder


def rows(tmp_path: Path, question: str) -> list[tuple[object, ...]]:
    database = sqlite3.connect(tmp_path / "mlflow.db")
    try:
        return list(database.execute(question))
    finally:
        database.close()


def rows_of(tmp_path: Path, tracked: TrackedRun) -> list[tuple[object, ...]]:
    return rows(
        tmp_path,
        f"select key, step, value from metrics where run_uuid = '{tracked.run_id}' "
        "and key != 'epoch' order by step",
    )


def delete_run(tmp_path: Path, uri: str, tracked: TrackedRun) -> None:
    from mlflow.tracking import MlflowClient

    MlflowClient(tracking_uri=uri).delete_run(tracked.run_id)


def remove_run(tmp_path: Path, uri: str, tracked: TrackedRun) -> None:
    database = sqlite3.connect(tmp_path / "mlflow.db")
    for table in ("metrics", "latest_metrics", "params", "tags", "runs"):
        database.execute(f"delete from {table} where run_uuid = '{tracked.run_id}'")
    database.commit()
    database.close()


def remove_database(tmp_path: Path, uri: str, tracked: TrackedRun) -> None:
    (tmp_path / "mlflow.db").unlink()


@pytest.mark.parametrize(
    ("lose", "at"),
    [
        *(
            (lose, at)
            for lose in (delete_run, remove_run)
            for at in ("resume", "while it runs", "end")
        ),
        (remove_database, "end"),  # seconds to create; a resume opens it as a first run does
    ],
)
def test_a_lost_record_is_replaced_with_all_its_metrics_and_that_is_said(
    folder: RunFolder,
    tmp_path: Path,
    uri: str,
    lose: Callable[[Path, str, TrackedRun], None],
    at: str,
) -> None:
    warnings: list[str] = []
    first = record.open_record(folder, warnings.append)
    recorded.record(first, folder, 1, 1, {"top1/8bit": 50.0})
    lose(tmp_path, uri, first)
    assert warnings == []
    if at == "resume":
        now = record.open_record(folder, warnings.append)
        recorded.record(now, folder, 2, 2, {"top1/8bit": 60.0})
    elif at == "while it runs":
        Journal(folder).log(2, 2, {"top1/8bit": 60.0})
        now, more = record.deliver(folder, first, warnings.append)
        assert more
        delivery.deliver_all(now, folder, pytest.fail)
    else:
        Journal(folder).log(2, 2, {"top1/8bit": 60.0})
        now, sent = record.close_record(folder, first, "FINISHED", warnings.append, "| a table |")
        assert sent == 2 * len(["top1/8bit", "epoch"])
        assert rows(tmp_path, f"select status from runs where run_uuid = '{now.run_id}'") == [
            ("FINISHED",)
        ]
    assert now.run_id != first.run_id
    assert rows_of(tmp_path, now) == [("top1/8bit", 1, 50.0), ("top1/8bit", 2, 60.0)]
    [message] = warnings
    assert "A new MLflow run takes its place" in message


def copied(folder: RunFolder) -> RunFolder:
    """Return a copy of a run's folder under another name."""
    copy = RunFolder(folder.place.parent / "copy")
    copy.make()
    for name in folder.place.files():
        copy.place.write(name, folder.place.content(name))
    return copy


@pytest.mark.parametrize(("note", "said"), [(b"\0" * 20, False), (None, True)])
def test_the_record_of_a_run_whose_note_is_damaged_is_found_again_and_that_is_said(
    folder: RunFolder, tmp_path: Path, note: bytes | None, said: bool
) -> None:
    told: list[str] = []
    first = record.open_record(folder, pytest.fail)
    if said:
        record.announce(folder, first)
    recorded.record(first, folder, 1, 1, {"top1/8bit": 50.0})
    record.close_record(folder, first, "KILLED", pytest.fail)
    if note is None:
        folder.place.remove("mlflow_run.json")
    else:
        folder.place.write("mlflow_run.json", note)
    copy = copied(folder)
    assert record.open_record(folder, told.append) == first
    assert record.open_record(folder, pytest.fail) == first
    [message] = told
    assert message.startswith(f"{folder.record} is {'damaged' if note else 'missing'}. ")
    assert rows(tmp_path, "select status from runs") == [("RUNNING",)]
    assert record.open_record(copy, told.append).run_id != first.run_id
    assert "a new one begins" in told[-1]


def test_a_record_that_is_deleted_is_not_found_again(
    folder: RunFolder, tmp_path: Path, uri: str
) -> None:
    told: list[str] = []
    first = record.open_record(folder, pytest.fail)
    recorded.record(first, folder, 1, 1, {"top1/8bit": 50.0})
    delete_run(tmp_path, uri, first)
    folder.place.write("mlflow_run.json", b"{")
    now = record.open_record(folder, told.append)
    assert now.run_id != first.run_id
    assert "a new one begins" in told[0]
    delivery.deliver_all(now, folder, pytest.fail)
    assert rows_of(tmp_path, now) == [("top1/8bit", 1, 50.0)]


def test_the_page_of_a_run_has_its_table_and_one_chart_of_all_bit_widths(
    tiny_job: Callable[..., Job], folder: RunFolder, mlflow_server: MlflowServer
) -> None:
    job = tiny_job(f"tracking.uri={mlflow_server.url}", "tracking.experiment=page")
    folder.job.write(yaml.safe_dump(job.as_dict()))
    tracked = record.open_record(folder, pytest.fail)
    chart = record.places(folder, tracked).charts
    folder.classes.write("number,class\n0,cat\n")
    record.close_record(folder, tracked, "FINISHED", pytest.fail, "| a table |")
    seen = mlflow_server.run(tracked.run_id)
    tags = {tag["key"]: tag["value"] for tag in seen["data"]["tags"]}
    page, _, query = chart.partition("#")
    assert page == f"{mlflow_server.url}/"
    assert f"(#{query})" in tags["mlflow.note.content"]
    assert "| a table |" in tags["mlflow.note.content"]
    assert RUN in tags["mlflow.note.content"]
    params = {param["key"]: param["value"] for param in seen["data"]["params"]}
    assert (params["method"], params["points"]) == ("coquant", "8bit 6bit 4bit 2bit")
    kept = {"job.yaml", "environment.txt", "results.md", "classes.csv"}
    assert mlflow_server.artifacts(tracked.run_id) == kept


def test_the_chart_of_a_search_is_its_best_so_far(
    tiny_job: Callable[..., Job], folder: RunFolder
) -> None:
    job = tiny_job("search={space: {method.p1: {choice: [0.25, 0.5]}}, metric: mean, trials: 2}")
    folder.job.write(yaml.safe_dump(job.as_dict()))
    shown = record.places(folder, TrackedRun("http://mlflow", "1", "2")).charts
    assert "best_so_far" in shown
    assert "8bit" not in shown


@pytest.mark.parametrize(
    ("settings", "params", "said"),
    [
        (
            [],
            ("torch", "float32", "False"),
            "float32, TF32 on CUDA off, deterministic algorithms off",
        ),
        (
            ["training.precision=tf32", "training.deterministic=true"],
            ("torch", "tf32", "True"),
            "tf32, TF32 on CUDA on, deterministic algorithms on",
        ),
        (
            ["training.precision=bfloat16", "start.from=float"],
            ("float", "bfloat16", "False"),
            "bfloat16, TF32 on CUDA on, deterministic algorithms off",
        ),
    ],
)
def test_the_record_says_how_weights_were_drawn_and_how_the_run_computes(
    tiny_job: Callable[..., Job],
    folder: RunFolder,
    tmp_path: Path,
    uri: str,
    settings: list[str],
    params: tuple[str, ...],
    said: str,
) -> None:
    job = tiny_job(f"tracking.uri={uri}", *settings)
    folder.job.write(yaml.safe_dump(job.as_dict()))
    record.open_record(folder, pytest.fail)
    found = dict(rows(tmp_path, "select key, value from params"))
    assert (found["init"], found["precision"], found["deterministic"]) == params
    [environment] = tmp_path.rglob("environment.txt")
    assert f"precision {said}" in environment.read_text()


def test_what_could_not_be_sent_is_sent_later_from_the_folder_alone(
    folder: RunFolder, tmp_path: Path, uri: str
) -> None:
    tracked = record.open_record(folder, pytest.fail)
    aside = (tmp_path / "mlflow.db").rename(tmp_path / "away.db")
    Journal(folder).log(1, 1, {"top1/8bit": 50.0})
    with pytest.raises(RecordGone):
        delivery.deliver(tracked, folder, pytest.fail)
    aside.rename(tmp_path / "mlflow.db")
    folder.result.write(dumps(plain(FINISHED)))
    assert record.sync(folder, "FINISHED", pytest.fail) == tracked
    assert rows_of(tmp_path, tracked) == [("top1/8bit", 1, 50.0)]
    status = f"select status from runs where run_uuid = '{tracked.run_id}'"
    assert rows(tmp_path, status) == [("FINISHED",)]


def test_a_line_of_the_metrics_that_is_damaged_is_named_when_they_are_sent(
    folder: RunFolder,
) -> None:
    journal, told = Journal(folder), list[str]()
    for step in range(1, 5):
        journal.log(step, 1, {"top1/8bit": 50.0})
    lines = folder.place.content("metrics.jsonl").splitlines(keepends=True)
    folder.place.write("metrics.jsonl", b"".join([*lines[:2], b"\0" * 20 + b"\n", *lines[3:]]))
    record.sync(folder, "FINISHED", told.append)
    assert told == [f"Line 3 of {folder.metrics} cannot be read and is left out."]


def test_a_run_that_was_never_recorded_can_be_recorded_later(
    folder: RunFolder, tmp_path: Path
) -> None:
    folder.metrics.path.write_text('{"step": 1, "time_ms": 5, "metrics": {"a": 2.0}}\n')
    tracked = record.sync(folder, "FAILED", pytest.fail)
    assert rows_of(tmp_path, tracked) == [("a", 1, 2.0)]


def test_a_folder_without_a_run_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"job\.yaml cannot be read"):
        record.sync(RunFolder(tmp_path), "FAILED", pytest.fail)
