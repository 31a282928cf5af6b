"""One plain Ray cluster for all tests, and the command line as a user types it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from orchestrator.run_facts import RunFacts, facts_of
from orchestrator.store.run_folder import RunFolder
from tests import raylets, s3_server
from tests.raylets import Head

REPOSITORY = Path(__file__).parents[2]


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
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """Start a cluster of one node as an administrator would, with credentials for S3 on it."""
    folder = tmp_path_factory.mktemp("ray")
    own = s3_server.settings("") | {"ORCH_CACHE": str(folder / "cache")}
    del own["AWS_ENDPOINT_URL"]
    with mock.patch.dict(os.environ, own), raylets.cluster(folder, cpus=2) as head:
        yield head


@pytest.fixture(scope="session")
def cluster(head: Head) -> str:
    """The address of the cluster."""
    return head.url
