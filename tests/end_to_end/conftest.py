"""One plain Ray cluster for all tests, and the command line as a user types it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray.util

from orchestrator.run_facts import RunFacts, facts_of
from orchestrator.store.run_folder import RunFolder

MARK = "ORCH_TEST_CLUSTER"
"""What every process of the cluster inherits, and is found by when the tests are over."""

REPOSITORY = Path(__file__).parents[2]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Orch:
    """The `orch` command with a home of its own."""

    env: dict[str, str]

    def __call__(
        self, *arguments: str | Path, timeout: float = 400
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(arguments),
            cwd=REPOSITORY,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start a command and return its process."""
        return subprocess.Popen(
            self._command(arguments),
            cwd=REPOSITORY,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def status(self, run: str) -> dict[str, Any]:
        """Return `orch status --json` of a run."""
        done = self("status", run, "--json")
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    @staticmethod
    def _command(arguments: tuple[str | Path, ...]) -> list[str]:
        return [sys.executable, "-m", "orchestrator", *map(str, arguments)]


@pytest.fixture(scope="session")
def wait_for() -> Callable[..., None]:
    """Wait until a run has come so far, by a look at its folder: commands would slow it down."""

    def wait(folder: RunFolder, ready: Callable[[RunFacts], object]) -> None:
        end = time.monotonic() + 240
        while not ready(facts := facts_of(folder)):
            assert facts.failed is None, facts.failed
            assert time.monotonic() < end, f"the run did not get there: {facts}"
            time.sleep(0.05)

    return wait


@pytest.fixture(scope="session")
def orch(tmp_path_factory: pytest.TempPathFactory) -> Orch:
    """The command line, with no cluster configured."""
    env = {k: v for k, v in os.environ.items() if k not in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI")}
    env |= {"ORCH_HOME": str(tmp_path_factory.mktemp("orch_home")), "NO_COLOR": "1"}
    return Orch(env)


@pytest.fixture(scope="session")
def output(new_database: Callable[[Path], str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all runs, with the tables that MLflow needs seconds to create."""
    folder = tmp_path_factory.mktemp("runs")
    new_database(folder)
    return folder


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a cluster as an administrator would, with `ray start --head`; give its address.

    RAY_ADDRESS keeps its jobs with it when another cluster is started on this machine meanwhile. It
    asks for no token, even where the user has one for other clusters.
    """
    port, gcs = _free_port(), _free_port()
    node = ray.util.get_node_ip_address()
    own = {"RAY_ADDRESS": f"{node}:{gcs}", "RAY_AUTH_MODE": "disabled"}
    log = tmp_path_factory.mktemp("ray") / "log"
    with log.open("w") as output:
        head = subprocess.Popen(
            [
                *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
                *("--num-cpus=2", f"--port={gcs}", f"--dashboard-port={port}"),
                *("--dashboard-agent-listen-port=0", f"--ray-client-server-port={_free_port()}"),
                "--disable-usage-stats",
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | own | {MARK: str(log)},
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/api/jobs/", head, log)
        yield address
    finally:
        _kill_all_of(log)
        head.wait(10)


def _kill_all_of(log: Path) -> None:
    mark = f"{MARK}={log}".encode()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in environment.read_bytes().split(b"\0"):
                os.kill(int(environment.parent.name), signal.SIGKILL)


def _wait_for(url: str, head: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        assert head.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(log.read_text())
