"""Loader processes: how they end, and what does not count against their storage."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from orchestrator import events, outage
from orchestrator.data.ahead import Loaders, Wanted
from orchestrator.errors import DataError, JobFileError, UsageError
from orchestrator.job.load import load_job
from tests.orchestrator.data.test_loader import Numbers

QUICKSTART = Path(__file__).parents[3] / "jobs" / "quickstart.yaml"

RANK = """
import multiprocessing
from orchestrator.data.ahead import Loaders, Wanted
from tests.orchestrator.data.test_loader import Numbers

if __name__ == "__main__":
    loaders = Loaders(2, "processes")
    batches = list(loaders.batches(Numbers(8), [[Wanted((n,))] for n in range(8)]))
    print(*(process.pid for process in multiprocessing.active_children()), flush=True)
    input()
"""


def is_alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_loader_processes_end_with_a_rank_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "rank.py"
    script.write_text(RANK)
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, script], env=paths, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as rank:
        assert rank.stdout
        pids = rank.stdout.readline().decode().split()
        assert pids
        assert all(is_alive(pid) for pid in pids)
        rank.send_signal(signal.SIGKILL)
    limit = time.monotonic() + 30
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < limit
        time.sleep(0.02)


class Told(Numbers):
    """Gives 1 where the process speaks for the run that its parent speaks for."""

    def load(self, index: int, generator: np.random.Generator | None) -> Tensor:
        telling = outage.telling()
        is_told = bool(telling and telling.run == TELLING.run)
        return torch.full(self.sample_shape, int(is_told), dtype=torch.uint8)


TELLING = outage.Telling("runs/one", events.warn)


class Slow(Numbers):
    """Takes a while for each sample."""

    def load(self, index: int, generator: np.random.Generator | None) -> Tensor:
        time.sleep(0.4)
        return super().load(index, generator)


def test_batches_that_are_no_longer_wanted_do_not_count_against_the_storage() -> None:
    data, loaders = Slow(100), Loaders(1, "processes", timeout=3)
    batches = loaders.batches(data, [[Wanted((3 * n + m,)) for m in range(3)] for n in range(20)])
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    [(inputs, _)] = loaders.batches(data, [[Wanted((70,))]])
    assert inputs.flatten().tolist() == [70, 0, 0]


def test_a_storage_that_is_waited_for_has_more_time() -> None:
    [(inputs, _)] = Loaders(1, "processes", timeout=0.1, patience=9).batches(
        Slow(4), [[Wanted((3,))]]
    )
    assert inputs.flatten().tolist() == [3, 0, 0]
    late = Loaders(1, "processes", timeout=0.05, patience=0.05).batches(Slow(4), [[Wanted((3,))]])
    with pytest.raises(DataError, match=r"within 0\.1 seconds, for 0\.05 of which a bucket"):
        next(late)


def test_a_loader_process_speaks_for_the_run_of_its_worker() -> None:
    outage.tell(TELLING)
    [(inputs, _)] = Loaders(1, "processes").batches(Told(1), [[Wanted((0,))]])
    outage.tell(None)
    assert inputs.flatten().tolist() == [1, 1, 1]


def test_a_small_shared_memory_is_named_with_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Tensor) -> Tensor:
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    batches = Loaders(1, "processes").batches(Numbers(4), [[Wanted((0,))]])
    with pytest.raises(UsageError, match=r"/dev/shm has no room .*cluster\.loader=threads"):
        next(iter(batches))


def test_a_sample_may_fail_with_a_timeout_of_its_own() -> None:
    class Late(Numbers):
        def load(self, index: int, generator: np.random.Generator | None) -> Tensor:
            raise TimeoutError("of a socket")

    with pytest.raises(TimeoutError, match="of a socket"):
        next(iter(Loaders(1).batches(Late(4), [[Wanted((0,))]])))


def test_a_time_that_no_clock_can_count_is_refused() -> None:
    with pytest.raises(JobFileError, match="loader_timeout"):
        load_job(QUICKSTART, ["cluster.loader_timeout=1e10"])
