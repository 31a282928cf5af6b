"""A fake cluster, a home of one's own, and one real local head shared by the tests that need it."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.cluster.registry import Attempt, Record
from tests.fake_cluster import FakeCluster

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
    from orchestrator.cluster import local

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
