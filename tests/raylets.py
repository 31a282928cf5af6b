"""Ray nodes on this machine, each a process tree of its own, that can be started and killed."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ray.util

MARK = "ORCH_TEST_NODE"
"""What every process of a node inherits, and is found by."""
START_SECONDS = 120.0


@dataclass(frozen=True)
class Node:
    """A node. main: the process that was started. files: Ray's folder for it.

    Each has a folder of its own: Ray's jobs take the cluster that the folder knows for theirs.
    """

    mark: str
    main: subprocess.Popen[bytes]
    log: Path
    files: Path

    def kill(self) -> None:
        """End all its processes at once, as if the machine had lost its power."""
        own = f"{MARK}={self.mark}".encode()
        for environment in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if own in environment.read_bytes().split(b"\0"):
                    os.kill(int(environment.parent.name), signal.SIGKILL)
        self.main.wait(10)
        shutil.rmtree(self.files, ignore_errors=True)


@dataclass(frozen=True)
class Head:
    """The first node of a cluster. url: of its dashboard. gcs: where other nodes join."""

    node: Node
    url: str
    gcs: str


def start_head(folder: Path, *, cpus: int) -> Head:
    """Start a cluster as an administrator would, with `ray start --head`, that asks for no token.

    RAY_ADDRESS keeps its tools with it when another cluster is started on this machine meanwhile.
    """
    port, gcs = _free_port(), _free_port()
    address = f"{ray.util.get_node_ip_address()}:{gcs}"
    options = (
        *("--head", f"--num-cpus={cpus}", f"--port={gcs}", f"--dashboard-port={port}"),
        f"--ray-client-server-port={_free_port()}",
    )
    head = Head(_start(folder, address, *options), f"http://127.0.0.1:{port}", address)
    _wait_until_it_answers(f"{head.url}/api/jobs/", head.node)
    return head


def join(head: Head, folder: Path, *, cpus: int) -> Node:
    """Start a node that joins a cluster, and wait until it has."""
    node = _start(folder, head.gcs, f"--address={head.gcs}", f"--num-cpus={cpus}")
    end = time.monotonic() + START_SECONDS
    while b"Ray runtime started" not in node.log.read_bytes():
        assert node.main.poll() is None, node.log.read_text()
        assert time.monotonic() < end, node.log.read_text()
        time.sleep(0.1)
    return node


def _start(folder: Path, address: str, *options: str) -> Node:
    mark = uuid.uuid4().hex
    log = folder / f"{mark}.log"
    files = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # its sockets have short names
    own = {"RAY_ADDRESS": address, "RAY_AUTH_MODE": "disabled", MARK: mark}
    with log.open("w") as output:
        main = subprocess.Popen(
            [
                *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block"),
                *("--dashboard-agent-listen-port=0", "--disable-usage-stats", *options),
                f"--temp-dir={files}",
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | own,
        )
    return Node(mark, main, log, files)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_answers(url: str, node: Node) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        assert node.main.poll() is None, node.log.read_text()
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.3)
    raise AssertionError(node.log.read_text())


@contextlib.contextmanager
def cluster(folder: Path, *, cpus: int) -> Iterator[Head]:
    """A cluster of one node until the end of the block."""
    head = start_head(folder, cpus=cpus)
    try:
        yield head
    finally:
        head.node.kill()
