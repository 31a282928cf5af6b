"""Processor time of the processes of this machine, by what they are, while something runs."""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

EACH_SECONDS = 0.5
KINDS = ("workers", "ray", "job", "others")
_TICK = os.sysconf("SC_CLK_TCK")

RAY = (
    *("/raylet/raylet", "/gcs_server", "ray/dashboard", "ray.dashboard", "log_monitor"),
    *("monitor.py", "ray.util.client.server", "ray_start.py"),
    *("ray::DashboardAgent", "ray::RuntimeEnvAgent"),
)
OURS = ("ray::", "default_worker", "setup_worker", "orchestrator", "torch.distributed.run")

Process = tuple[int, str]
"""Its id, and when it was started: ids come again."""


class Meter:
    """Notes, in a thread, the seconds of processor time of each process of this machine."""

    def __init__(self) -> None:
        self._seen: dict[Process, tuple[str, float]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._samples: list[tuple[float, dict[Process, float]]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take no more samples."""
        self._over.set()
        self._thread.join()

    def between(
        self, start: float, end: float, is_worker: Callable[[int, str], bool]
    ) -> dict[str, float]:
        """Return the seconds of each kind of process between the samples nearest to two times.

        start, end: in seconds since 1970. is_worker: whether a process is one, by its id and its
        command line.
        """
        first, last = (
            min(self._samples, key=lambda sample: abs(sample[0] - at))[1] for at in (start, end)
        )
        sums = dict.fromkeys(KINDS, 0.0)
        for process, seconds in last.items():
            command, _ = self._seen[process]
            kind = "workers" if is_worker(process[0], command) else kind_of(command)
            sums[kind] += seconds - first.get(process, 0.0)
        return sums

    def _work(self) -> None:
        while not self._over.wait(EACH_SECONDS):
            self._seen |= _processes()
            seconds = {process: spent for process, (_, spent) in self._seen.items()}
            self._samples.append((time.time(), seconds))


def kind_of(command: str) -> str:
    """Return what a process is that is no worker: "ray" (a daemon), "job" (all else of it)."""
    if any(sign in command for sign in RAY):
        return "ray"
    return "job" if any(sign in command for sign in OURS) else "others"


def _processes() -> dict[Process, tuple[str, float]]:
    """Return the command line and the seconds of processor time of each process that runs."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            command = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            fields = (place / "stat").read_text().rpartition(")")[2].split()
            seconds = (int(fields[11]) + int(fields[12])) / _TICK
            if command:  # of a process that has ended nothing is left but its number
                found[int(place.name), fields[19]] = (command, seconds)
    return found
