"""A real MLflow server on a sqlite file, asked over REST with the standard library only."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_SECONDS = 120.0
CLIENT_SETTINGS = ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")


@dataclass(frozen=True)
class MlflowServer:
    """url: where it listens. database: the sqlite URI of what it serves. pid: of its group."""

    url: str
    database: str
    pid: int

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """Ask the REST interface; an HTTP error is raised."""
        return self._ask(f"{path}?{urllib.parse.urlencode(query)}", None)

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """Send a request with a JSON body."""
        return self._ask(path, json.dumps(body).encode())

    def run(self, run_id: str) -> dict[str, Any]:
        """Return a run: its `info`, `data` and so on."""
        return dict(self.get("runs/get", run_id=run_id)["run"])

    def series(self, run_id: str, key: str) -> list[tuple[int, float]]:
        """Return (step, value) of a metric."""
        found = self.get("metrics/get-history", run_id=run_id, metric_key=key)
        rows = [(int(row.get("step", 0)), float(row["value"])) for row in found.get("metrics", [])]
        return sorted(rows)

    def artifacts(self, run_id: str) -> set[str]:
        """Return the names of a run's artifacts."""
        return {file["path"] for file in self.get("artifacts/list", run_id=run_id)["files"]}

    def _ask(self, path: str, body: bytes | None) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.url}/api/2.0/mlflow/{path}",
            data=body,
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return dict(json.load(answer))


@contextlib.contextmanager
def serving(database: str, folder: Path) -> Iterator[MlflowServer]:
    """Serve a sqlite file until the end of the block; logs and artifacts are kept in a folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "server.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server", f"--port={port}", "--workers=1"),
                f"--backend-store-uri={database}",
                f"--artifacts-destination={folder / 'artifacts'}",
            ],
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={k: v for k, v in os.environ.items() if k not in CLIENT_SETTINGS}
            | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, server, log)
        yield MlflowServer(url, database, server.pid)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(10)


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text()
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=5):
            return
        time.sleep(0.2)
    raise AssertionError(log.read_text())
