"""What most tests need: a home of their own, tiny pictures and jobs, a run in this process, and a
fake cluster."""

import contextlib
import errno
import fcntl
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from orchestrator.cluster import local
from orchestrator.job.load import load_job
from orchestrator.job.schema import Job
from orchestrator.runs.registry import Attempt, Record
from orchestrator.store.checkpoint import with_manifest
from orchestrator.store.disk import DiskFolder
from orchestrator.store.run_folder import Reached
from orchestrator.train.ranks import Ranks
from tests.fake_cluster import FakeCluster

GOLDEN = Path(os.environ.get("ORCH_GOLDEN_DIR", Path(__file__).parents[1] / "data" / "golden"))

TINY_JOB = """
name: tiny
model: {name: resnet18_cifar, widths: [4, 8], depths: [1, 1]}
data: {name: imagenet, root: pictures, crop: 16, resize: 16}
method: {name: coquant, p1: 0.5, lambda: 0.01}
quantizer: {activations: {clip_init: 2}}
optimizer: {lr: 0.05, clip: {lr: 0.01}}
training: {epochs: 2, global_batch: 8}
cluster: {max_batch_per_worker: 8}
"""
"""A step is one pass of all points: tests of what passes share ask for smaller ones."""

OUTSIDE = (
    "RAY_ADDRESS",
    "RAY_API_SERVER_ADDRESS",
    "RAY_AUTH_MODE",
    "RAY_AUTH_TOKEN",
    "RAY_AUTH_TOKEN_PATH",
    "MLFLOW_TRACKING_URI",
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep records in a folder of the test; nothing of the surroundings reaches it."""
    for name in OUTSIDE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ORCH_HOME", str(tmp_path / "orch"))
    return tmp_path / "orch"


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    with FakeCluster() as served:
        yield served


@pytest.fixture
def make_record(tmp_path: Path) -> Callable[..., Record]:
    """Make the record of a run; its attempts were submitted at the given times."""

    def make(run: str = "digits-1", *times: float, **changes: object) -> Record:
        values: dict[str, object] = {
            "run": run,
            "name": run.rpartition("-")[0],
            "job": {"name": run, "optimizer": {"lr": 0.1}},
            "job_file": "jobs/digits.yaml",
            "address": "http://127.0.0.1:1",
            "local": False,
            "run_dir": str(tmp_path / "runs" / run),
            "attempts": (Attempt(run, (times or (1.0,))[0]),),
        }
        record = Record(**{**values, **changes})  # type: ignore[arg-type]
        for submitted in times[1:]:
            record = record.again(submitted)
        return record

    return make


@pytest.fixture(scope="session")
def head_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home in which a local head may be started; whatever runs there at the end is stopped."""
    folder = tmp_path_factory.mktemp("head")
    yield folder
    before = os.environ.get("ORCH_HOME")
    os.environ["ORCH_HOME"] = str(folder)
    try:
        with local.locked():
            if head := local.running():
                local.stop(head)
    finally:
        if before is None:
            del os.environ["ORCH_HOME"]
        else:
            os.environ["ORCH_HOME"] = before


class PretendedHead:
    """A local head that is alive, as far as its lock tells. Its port is that of whatever `url`
    names; without one, it takes calls and never answers."""

    def __init__(self, folder: Path, url: str = "", **facts: Any) -> None:
        folder.mkdir()
        (folder / "token").write_text("0" * 64)
        self._port = socket.create_server(("127.0.0.1", 0))
        self._alive = (folder / "alive").open("wb")
        fcntl.flock(self._alive, fcntl.LOCK_EX)
        url = url or f"http://127.0.0.1:{self._port.getsockname()[1]}"
        known = {"inode": local._inode(sys.prefix), "session": "session_1"} | facts
        self.head = local.Head(url, str(folder), sys.prefix, **known)
        local.folder("local")
        local.save(local._state_file(), json.dumps(asdict(self.head)))

    def logs(self) -> Path:
        """Return the folder of Ray's logs, which lie there beside what jobs have said."""
        logs = Path(self.head.folder) / "ray" / "session_latest" / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        return logs

    def die(self) -> None:
        """End as a head that is killed does."""
        self._alive.close()
        self._port.close()


@pytest.fixture
def pretended_head(tmp_path: Path) -> Iterator[Callable[..., PretendedHead]]:
    with contextlib.ExitStack() as stack:

        def make(url: str = "", **facts: Any) -> PretendedHead:
            head = PretendedHead(tmp_path / "orch-head-pretended", url, **facts)
            stack.callback(head.die)
            return head

        yield make


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[object, str], None]:
    """Return what lets a disk be full from now on for whoever calls a function, such as fsync."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # names no file, as the real one

    return lambda where, function: monkeypatch.setattr(where, function, full)


@pytest.fixture(scope="session")
def golden() -> Callable[[str], list[dict[str, Any]]]:
    """Return the cases of a file of golden vectors."""

    def cases(name: str) -> list[dict[str, Any]]:
        return list(json.loads((GOLDEN / f"{name}.json").read_text())["cases"])

    return cases


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of noisy pictures that differ in color: 24 to train on, 9 to evaluate on."""
    root = tmp_path_factory.mktemp("data") / "pictures"
    generator = np.random.default_rng(0)
    for role, count in (("train", 8), ("val", 3)):
        for color, name in enumerate(("red", "green", "blue")):
            folder = root / role / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 128, (20, 24, 3), dtype=np.uint8)
                pixels[..., color] += 100
                Image.fromarray(pixels).save(folder / f"{number}.jpg")
    return root


@pytest.fixture
def tiny_job(tmp_path: Path, pictures: Path) -> Callable[..., Job]:
    """Load the tiny job, changed as `--set` would, with its output in a folder of the test."""
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY_JOB)

    def load(*overrides: str) -> Job:
        places = [f"data.root={pictures}", f"output={tmp_path / 'runs'}"]
        return load_job(file, [*places, *overrides]).job

    return load


class FolderContext:
    """One process, or one of several, that keeps its checkpoints in numbered folders.

    It can be a worker's recorder, too: `reports` are then what was recorded.
    """

    def __init__(self, folder: Path, ranks: Ranks | None = None) -> None:
        self.folder = folder
        self.ranks = ranks or Ranks()
        self.reports: list[dict[str, Any]] = []

    def latest(self) -> DiskFolder | None:
        found = sorted(self.folder.glob("checkpoint-*"))
        return DiskFolder(found[-1]) if found else None

    def log(self, step: int, epoch: int, metrics: Mapping[str, float]) -> None:
        self.reports.append({"step": step, "epoch": epoch, **metrics})

    def commit(self, contents: Mapping[str, bytes], at: Reached) -> None:
        number = len(list(self.folder.glob("checkpoint-*")))
        DiskFolder(self.folder).put(f"checkpoint-{number:03d}", with_manifest(contents))


@pytest.fixture
def folder_context() -> type[FolderContext]:
    return FolderContext
