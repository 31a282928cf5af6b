"""What an MLflow server is asked without MLflow, beside what MLflow itself says of it."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from orchestrator.track import rest

ASK = """
import sys
from orchestrator.track.recorder import check_reachable
check_reachable(sys.argv[1], "orch")
print(sorted({"mlflow", "sqlalchemy", "torch"} & set(sys.modules)))
"""


@contextmanager
def server(code: int, document: object) -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """Serve one answer to all questions; yield the address, and what was asked with which right."""
    asked: list[tuple[str, str | None]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            self.send_response(code)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}", asked
        serving.shutdown()


@pytest.mark.parametrize(
    ("code", "document", "fine"),
    [
        (200, {"experiment": {"lifecycle_stage": "active"}}, True),
        (200, {"experiment": {"lifecycle_stage": "deleted"}}, False),
        (404, {"error_code": "RESOURCE_DOES_NOT_EXIST"}, True),
        (404, {"error_code": "ENDPOINT_NOT_FOUND"}, False),
        (401, {"error_code": "UNAUTHENTICATED"}, False),
        (200, {"hello": "world"}, False),
        (200, ["hello"], False),
        (500, "broken", False),
    ],
)
def test_only_an_answer_in_order_spares_asking_with_mlflow(
    code: int, document: object, fine: bool
) -> None:
    with server(code, document) as (uri, asked):
        assert rest.is_fine(uri + "/", "a b") is fine
    assert asked == [("/api/2.0/mlflow/experiments/get-by-name?experiment_name=a+b", None)]


def test_nothing_that_answers_is_not_fine() -> None:
    assert not rest.is_fine("http://127.0.0.1:9", "orch")


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"USERNAME": "u", "PASSWORD": "p"}, "Basic dTpw"),
        ({"TOKEN": "t"}, "Bearer t"),
        ({"USERNAME": "u", "TOKEN": "t"}, "Bearer t"),
    ],
)
def test_it_shows_the_credentials_that_mlflow_would(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], sent: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
    with server(200, {"experiment": {"lifecycle_stage": "active"}}) as (uri, asked):
        assert rest.is_fine(uri, "orch")
    assert [right for _, right in asked] == [sent]


def test_a_server_in_order_is_asked_without_mlflow() -> None:
    with server(200, {"experiment": {"lifecycle_stage": "active"}}) as (uri, _):
        done = subprocess.run(
            [sys.executable, "-c", ASK, uri], capture_output=True, text=True, check=True
        )
    assert done.stdout == "[]\n"
