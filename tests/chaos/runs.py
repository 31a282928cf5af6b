"""A run on a cluster of several nodes, and all that can be done to it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.run_facts import facts_of
from orchestrator.store.run_folder import Reached, RunFolder
from tests import raylets
from tests.chaos.faults import Fault
from tests.raylets import Head, Node
from tests.unreliable import Unreliable, Weather

REPOSITORY = Path(__file__).parents[2]
JOB = REPOSITORY / "jobs" / "quickstart.yaml"
STEPS, EPOCHS = 10, 4
EPOCH_SAMPLES = STEPS * 32
OPTIONS = (
    *(f"data.limit_train={EPOCH_SAMPLES}", "data.limit_val=32", f"training.epochs={EPOCHS}"),
    *("checkpoint.every_steps=1", "cluster.max_failures=5"),
)
PATIENCE_SECONDS = 300.0
AWAY_SECONDS = 15.0
"""How long the tracking server does not answer, and three in ten requests to the storage fail."""


@dataclass
class Place:
    """A cluster of a head and nodes with one CPU each, and room for runs.

    server, storage: the ways to the tracking server and to the bucket.
    """

    folder: Path
    head: Head
    server: Unreliable
    storage: Unreliable
    nodes: list[Node] = field(default_factory=list)

    def add_node(self) -> None:
        """Start a node."""
        self.nodes.append(raylets.join(self.head, self.folder, cpus=1))

    def orch(self, *words: str) -> str:
        """Run a command of orch; return its output."""
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator", *words],
            cwd=REPOSITORY,
            env=os.environ | {"ORCH_HOME": str(self.folder / "home"), "RAY_AUTH_MODE": "disabled"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def submit(self, output: str, *options: str) -> RunFolder:
        """Submit the job; return the folder of its run."""
        own = (*OPTIONS, f"output={output}", f"tracking.uri={self.server.url}")
        given = [word for option in (*own, *options) for word in ("--set", option)]
        printed = self.orch(
            "submit", str(JOB), "--address", self.head.url, "--detach", "--json", *given
        )
        return RunFolder(f"{output}/{json.loads(printed)['run']}")

    def close(self) -> None:
        """End all nodes."""
        for node in (*self.nodes, self.head.node):
            node.kill()

    def ask(self, path: str) -> Any:
        """Ask the cluster's dashboard."""
        with urllib.request.urlopen(self.head.url + path, timeout=30) as answer:
            return json.load(answer)


@dataclass
class Victim:
    """A run, and how far it has to be before the next fault."""

    place: Place
    run: RunFolder
    at: int = 0

    def suffer(self, fault: Fault) -> None:
        """Let a fault happen in its time; one that comes after the end of the run does not."""
        if not self._reach(self.at + fault.after):
            return
        time.sleep(fault.delay)
        act: dict[str, Callable[[int], None]] = {
            "worker killed": lambda rank: os.kill(self._worker(rank), signal.SIGKILL),
            "worker frozen": lambda rank: os.kill(self._worker(rank), signal.SIGSTOP),
            "node killed": self._kill_node,
            "driver killed": lambda _: os.kill(self._driver(), signal.SIGKILL),
            "server away": lambda _: self._send_server_away(),
            "storage troubled": lambda _: self._trouble_storage(),
        }
        self.at = steps(self.run)
        while not self.run.result.exists():
            with suppress(ProcessLookupError, LookupError, FileNotFoundError):
                act[fault.kind](fault.rank)
                return
            time.sleep(0.2)

    def _reach(self, wanted: int) -> bool:
        """Wait until the run has taken so many steps; return whether it has not ended."""
        wait_until(lambda: steps(self.run) >= wanted or self.run.result.exists(), self.run)
        return not self.run.result.exists()

    def _worker(self, rank: int) -> int:
        """Return the process of a rank. Raises LookupError while there is none."""
        gathered = facts_of(self.run).gathered
        workers = gathered.workers if gathered else ()
        return {worker.rank: worker.pid for worker in workers}[rank]

    def _kill_node(self, rank: int) -> None:
        """Kill the node of a rank with all its processes; another one joins a little later."""
        environment = Path(f"/proc/{self._worker(rank)}/environ").read_bytes()
        [node] = [one for one in self.place.nodes if one.mark.encode() in environment]
        node.kill()
        self.place.nodes.remove(node)
        self.place.add_node()

    def _driver(self) -> int:
        """Return the process of the latest driver."""
        return int(self.place.ask(f"/api/jobs/{self.run.name}")["driver_info"]["pid"])

    def _send_server_away(self) -> None:
        self.place.server.become("cut" if steps(self.run) % 2 else 503)
        _later(lambda: self.place.server.become("well"))

    def _trouble_storage(self) -> None:
        self.place.storage.become(Weather(share=0.3))
        _later(lambda: self.place.storage.become("well"))


def _later(act: Callable[[], None]) -> None:
    timer = threading.Timer(AWAY_SECONDS, act)
    timer.daemon = True
    timer.start()


def steps(run: RunFolder) -> int:
    """Return how many steps are in the run's newest checkpoint."""
    newest = run.newest() or Reached(0, 0, 0)
    return newest.epoch * STEPS + newest.step


def wait_until(ready: Callable[[], bool], run: RunFolder) -> None:
    """Wait, and fail when the run does, or after PATIENCE_SECONDS."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not ready():
        facts = facts_of(run)
        assert facts.failed is None, facts.failed
        assert time.monotonic() < end, facts
        time.sleep(0.05)
