"""What a server or a database refuses, asked of real ones, and what the user reads."""

import os
import pwd
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from orchestrator.errors import RecordGone, Refused, UsageError
from orchestrator.store.run_folder import RunFolder
from orchestrator.track import delivery, recorder, server
from orchestrator.track.journal import Journal
from orchestrator.track.run import TrackedRun
from tests.mlflow_server import MlflowServer

MakeDatabase = Callable[[Path], str]


@pytest.fixture(params=["over HTTP", "directly into sqlite"])
def uri(request: pytest.FixtureRequest, mlflow_server: MlflowServer) -> str:
    return mlflow_server.url if request.param == "over HTTP" else mlflow_server.database


def deleted_experiment(served: MlflowServer, name: str) -> None:
    made = served.post("experiments/create", name=name)["experiment_id"]
    served.post("experiments/delete", experiment_id=made)


def test_a_deleted_experiment_is_refused_with_the_way_to_restore_it(
    mlflow_server: MlflowServer, uri: str, tmp_path: Path
) -> None:
    name = f"deleted {uri[:6]}"
    deleted_experiment(mlflow_server, name)
    for ask in (
        lambda: recorder.check_reachable(uri, name),
        lambda: recorder.open_run(uri, name, "digits-1", RunFolder(tmp_path)),
    ):
        with pytest.raises(Refused, match="was deleted") as caught:
            ask()
        assert "mlflow experiments restore --experiment-id" in str(caught.value)
        assert "tracking.experiment" in str(caught.value)
        assert caught.value.exit_code == 2


def test_a_deleted_run_is_gone(mlflow_server: MlflowServer, uri: str, tmp_path: Path) -> None:
    run = recorder.open_run(uri, f"some gone {uri[:6]}", "digits-1", RunFolder(tmp_path))
    mlflow_server.post("runs/delete", run_id=run.run_id)
    with pytest.raises(RecordGone, match="deleted"):
        recorder.open_run(uri, f"some gone {uri[:6]}", "digits-1", RunFolder(tmp_path))
    with pytest.raises(RecordGone):
        recorder.close_run(TrackedRun(uri, "1", "0" * 32), RunFolder(tmp_path), "FAILED")


ANSWERS = [
    (401, "text/plain", "You are not authenticated", r"MLFLOW_TRACKING_USERNAME"),
    (403, "text/plain", "Invalid Host header", r"Invalid Host header.*MLFLOW_TRACKING_USERNAME"),
    (404, "text/html", "<html>Ray</html>", "Is it an MLflow server"),
    (200, "text/html", "<html>Ray</html>", "Is it an MLflow server"),
    (
        400,
        "application/json",
        '{"error_code": "INVALID_PARAMETER_VALUE", "message": "no such name"}',
        "no such name",
    ),
]


@pytest.fixture
def answering() -> Iterator[Callable[[int, str, str], str]]:
    """Serve one answer to every question; return the address."""
    started: list[HTTPServer] = []

    def serve(status: int, kind: str, body: str) -> str:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        served = HTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=served.serve_forever, daemon=True).start()
        started.append(served)
        return f"http://127.0.0.1:{served.server_port}"

    yield serve
    for served in started:
        served.shutdown()
        served.server_close()


@pytest.mark.parametrize(("status", "kind", "body", "words"), ANSWERS)
def test_what_a_server_answers_is_reported_and_is_not_taken_for_silence(
    answering: Callable[[int, str, str], str], status: int, kind: str, body: str, words: str
) -> None:
    with pytest.raises(Refused, match=words) as caught:
        recorder.check_reachable(answering(status, kind, body), "orch")
    assert "does not answer" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("database or disk is full", "its disk is full; free some space"),
        ("database is locked", "is locked by another program"),
        ("attempt to write a readonly database", "cannot be written"),
    ],
)
def test_what_happens_to_a_database_is_said_in_one_line_of_plain_words(
    said: str, words: str
) -> None:
    raised = Exception(
        "(raised as a result of Query-invoked autoflush; consider using a session.no_autoflush "
        f"block if this flush is occurring prematurely)\n(sqlite3.OperationalError) {said}\n"
        "[SQL: INSERT INTO runs]"
    )
    message = str(server.in_plain_words("sqlite:////runs/mlflow.db", raised))
    assert words in message
    assert "/runs/mlflow.db" in message
    assert "autoflush" not in message
    assert "\n" not in message


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("a text of some length, and no database at all" * 20)
    with pytest.raises(Refused, match=r"mlflow\.db is not a sqlite database"):
        recorder.check_reachable(f"sqlite:///{tmp_path / 'mlflow.db'}", "orch")


def test_a_database_of_a_newer_mlflow_is_reported_as_such(
    tmp_path: Path, new_database: MakeDatabase
) -> None:
    uri = new_database(tmp_path)
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("update alembic_version set version_num = 'ffffffffffff'")
        database.execute("drop table metrics")
    database.close()
    with pytest.raises(Refused, match="was made by a"):
        recorder.check_reachable(uri, "orch")


def test_a_database_that_is_removed_while_it_is_open_is_noticed(
    tmp_path: Path, new_database: MakeDatabase
) -> None:
    uri = new_database(tmp_path)
    run = recorder.open_run(uri, "removed", "digits-1", RunFolder(tmp_path))
    (tmp_path / "mlflow.db").unlink()
    Journal(RunFolder(tmp_path)).log(9, 1, {"top1/8bit": 1.0})
    with pytest.raises(RecordGone, match="the file does not exist"):
        delivery.deliver(run, RunFolder(tmp_path), pytest.fail)
    with pytest.raises(RecordGone, match="the file does not exist"):
        recorder.close_run(run, RunFolder(tmp_path), "FAILED")
    new_database(tmp_path)
    with pytest.raises(RecordGone, match="not found"):
        recorder.close_run(run, RunFolder(tmp_path), "FAILED")
    again = recorder.open_new_run(uri, "removed", "digits-1", RunFolder(tmp_path))
    delivery.deliver_all(again, RunFolder(tmp_path), pytest.fail)


OTHER = """
import sys
from pathlib import Path
import mlflow.tracking
from tests.orchestrator.track.test_server import open_and_close
print("ready", flush=True)
sys.stdin.readline()
open_and_close(sys.argv[1], Path(sys.argv[2]))
"""


def open_and_close(uri: str, folder: Path) -> None:
    folder.mkdir()
    run = recorder.open_run(uri, "first", folder.name, RunFolder(folder))
    recorder.close_run(run, RunFolder(folder), "FINISHED")


def test_two_processes_may_open_a_new_database_at_the_same_moment(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with subprocess.Popen(
        [sys.executable, "-c", OTHER, uri, str(tmp_path / "other")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        other.stdin.write("\n")
        other.stdin.flush()
        open_and_close(uri, tmp_path / "own")
    assert other.returncode == 0
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        rows = database.execute("select status, count(*) from runs group by status").fetchall()
    database.close()
    assert rows == [("FINISHED", 2)]


def test_a_user_without_a_home_learns_what_mlflow_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: int) -> None:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.delenv("HOME")
    with pytest.raises(UsageError, match="Set HOME"), server.mlflow_client("http://127.0.0.1:9"):
        pass


@pytest.mark.parametrize("hurry", [True, False])
def test_the_patience_of_a_command_does_not_stay_for_its_jobs(
    mlflow_server: MlflowServer, monkeypatch: pytest.MonkeyPatch, hurry: bool
) -> None:
    for name in server.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    with server.mlflow_client(mlflow_server.url, hurry=hurry):
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == ("0" if hurry else "2")
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "60"
    assert not {*server.SETTINGS, *server.HURRY} & os.environ.keys() - {
        "MLFLOW_HTTP_REQUEST_TIMEOUT"
    }


def test_a_secret_in_the_variable_of_a_node_is_not_recorded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hush@host:5000")
    with pytest.raises(UsageError, match="MLFLOW_TRACKING_PASSWORD") as caught:
        recorder.tracking_uri(None, str(tmp_path))
    assert "hush" not in str(caught.value)
