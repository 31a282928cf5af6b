"""Processor time of the processes of this machine, by what they are, while something runs."""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

EACH_SECONDS = 0.5
KINDS = ("workers", "ray", "job", "others")
_TICK = os.sysconf("SC_CLK_TCK")

WORKERS = ("ray::RayTrainWorker", "benchmarks.under_torchrun")
RAY = (
    *(
        "/raylet/raylet",
        "/gcs_server",
        "ray/dashboard",
        "ray.dashboard",
        "log_monitor",
        "monitor.py",
    ),
    *("ray.util.client.server", "ray_start.py", "ray::DashboardAgent", "ray::RuntimeEnvAgent"),
)
OURS = ("ray::", "orchestrator", "torch.distributed.run")


def kind(command: str) -> str:
    """Return what a process is: "workers", "ray" (daemons), "job" (all else of it), "others"."""
    if "torch.distributed.run" in command:
        return "job"
    for name, signs in (("workers", WORKERS), ("ray", RAY), ("job", OURS)):
        if any(sign in command for sign in signs):
            return name
    return "others"


class Meter:
    """Sums up, in a thread, the seconds of processor time of each kind of process."""

    def __init__(self, now: Callable[[], float]) -> None:
        """now: the clock of the samples, in seconds."""
        self._now = now
        self._seen: dict[tuple[str, str], tuple[str, float]] = {}
        self._before: dict[tuple[str, str], float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.samples: list[tuple[float, dict[str, float]]] = []

    def __enter__(self) -> Self:
        self._before = {key: seconds for key, (_, seconds) in _processes().items()}
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

    def between(self, start: float, end: float) -> dict[str, float]:
        """Return the seconds of each kind between the samples that are nearest to two times."""
        first, last = (
            min(self.samples, key=lambda sample: abs(sample[0] - at))[1] for at in (start, end)
        )
        return {name: last[name] - first[name] for name in KINDS}

    def _work(self) -> None:
        while not self._over.wait(EACH_SECONDS):
            self._seen |= _processes()
            sums = dict.fromkeys(KINDS, 0.0)
            for key, (command, seconds) in self._seen.items():
                sums[kind(command)] += seconds - self._before.get(key, 0.0)
            self.samples.append((self._now(), sums))


def _processes() -> dict[tuple[str, str], tuple[str, float]]:
    """Return the command and the seconds of processor time of each process, by id and start."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            command = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            fields = (place / "stat").read_text().rpartition(")")[2].split()
            seconds = (int(fields[11]) + int(fields[12])) / _TICK
            found[place.name, fields[19]] = (command, seconds)
    return found
