"""A real S3 server, moto's, in a process of its own."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

START_SECONDS = 60.0
BUCKET = "models"
_SETTINGS = {
    "AWS_ACCESS_KEY_ID": "tests",
    "AWS_SECRET_ACCESS_KEY": "tests",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_MAX_ATTEMPTS": "10",
}


def settings(url: str) -> dict[str, str]:
    """Return the environment of a process that asks the server or a proxy before it, as a job."""
    return {**_SETTINGS, "AWS_ENDPOINT_URL": url}


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve one empty bucket until the end of the block; give the URL. The log is in a folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "s3.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", f"-p{port}"],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        _make_bucket(url, server, log)
        yield url
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(10)


def _make_bucket(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text()
        request = urllib.request.Request(f"{url}/{BUCKET}", method="PUT")
        with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=10):
            return
        time.sleep(0.1)
    raise AssertionError(log.read_text())
