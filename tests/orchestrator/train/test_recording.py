"""A whole run with its driver, whose tracking server is away, or goes while it trains."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.job.schema import Job
from orchestrator.run_facts import facts_of
from orchestrator.shipment import Shipment
from orchestrator.state import State
from orchestrator.store.run_folder import RunFolder
from orchestrator.track import record, sender
from orchestrator.track.journal import Journal
from orchestrator.track.run import remembered_run
from orchestrator.track.server import ONCE
from orchestrator.train import driver, launch
from orchestrator.train.context import FolderContext
from orchestrator.train.ranks import Ranks
from orchestrator.train.worker import Run, Worker
from tests.mlflow_server import MlflowServer
from tests.unreliable import Mood, Unreliable, on_the_way_to

SECONDS = 30.0


@pytest.fixture
def way(mlflow_server: MlflowServer) -> Iterator[Unreliable]:
    """The way to the server, on which all is well at first."""
    with on_the_way_to(mlflow_server.url) as server:
        yield server


@pytest.fixture
def drive(
    tiny_job: Callable[..., Job], tmp_path: Path, way: Unreliable, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., RunFolder]:
    """Let the driver train the tiny job in this process; return the run's folder.

    after_first: what becomes of the server once the first epoch is over.
    """
    monkeypatch.setattr(sender, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(sender, "LAST_TRIES_SECONDS", 0.2)
    for name, value in ONCE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("ray.init", lambda **_: None)
    monkeypatch.setattr(driver.signal, "signal", lambda *_: None)

    class Trainer:
        def __init__(self, job: Job, run: Run, notes: Path) -> None:
            self.job, self.run = job, run

        def fit(self) -> None:
            context = FolderContext(self.run.folder, Ranks(), keep=3)
            Worker(self.job, self.run, context).run(until=1)
            way.become(after_first)
            Worker(self.job, self.run, context).run()

    monkeypatch.setattr("orchestrator.train.trainer.build_trainer", Trainer)
    after_first: Mood = "well"

    def go(then: Mood) -> RunFolder:
        nonlocal after_first
        after_first = then
        job = tiny_job(
            *("training.epochs=3", "quantizer.bit_widths=[8, 2]"),
            *(f"tracking.uri={way.url}", "tracking.experiment=driven"),
        )
        folder = RunFolder(tmp_path / "runs" / f"tiny-{os.urandom(4).hex()}")
        given = Shipment(folder.name, str(folder), 1, job.as_dict())
        (tmp_path / "run.json").write_text(given.text())
        assert launch.main(str(tmp_path / "run.json")) == 0
        return folder

    return go


def check_whole(folder: RunFolder, server: MlflowServer) -> None:
    tracked = remembered_run(folder)
    assert tracked is not None
    lines = Journal(folder)._lines.read().values
    assert len(lines) == 3
    for key in lines[0]["metrics"]:
        expected = [(line["step"], line["metrics"][key]) for line in lines]
        assert server.series(tracked.run_id, key) == expected, key
    assert server.run(tracked.run_id)["info"]["status"] == "FINISHED"
    expected_files = {"job.yaml", "classes.csv", "environment.txt", "results.md"}
    assert server.artifacts(tracked.run_id) == expected_files


def test_a_run_is_recorded_by_its_driver(
    drive: Callable[..., RunFolder], mlflow_server: MlflowServer
) -> None:
    folder = drive("well")
    check_whole(folder, mlflow_server)
    assert facts_of(folder).state is State.SUCCEEDED


@pytest.mark.parametrize("then", ["frozen", 503])
def test_a_run_whose_server_goes_ends_in_time_and_everything_arrives_later_once(
    drive: Callable[..., RunFolder],
    way: Unreliable,
    mlflow_server: MlflowServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    then: Mood,
) -> None:
    if then == "frozen":
        monkeypatch.setattr(sender, "STUCK_SECONDS", 1.0)
    folder = drive(then)
    assert facts_of(folder).state is State.SUCCEEDED
    assert f"`orch sync {folder.name}` sends them" in capsys.readouterr().out
    assert Journal(folder).waiting() > 0
    way.become("cut")
    for left in threading.enumerate():  # with its process it would be gone
        if left.name == "sender":
            left.join(SECONDS)
    way.become("well")
    record.sync(folder, "FINISHED", print)
    check_whole(folder, mlflow_server)


def test_a_run_whose_server_is_away_all_the_time_ends_in_time_and_everything_arrives_later(
    drive: Callable[..., RunFolder],
    way: Unreliable,
    mlflow_server: MlflowServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    way.become("cut")
    began = time.monotonic()
    folder = drive("cut")
    took = time.monotonic() - began
    assert took < 30
    said = capsys.readouterr().out
    assert "The run begins all the same." in said
    assert f"`orch sync {folder.name}` sends them" in said
    assert remembered_run(folder) is None
    way.become("well")
    record.sync(folder, "FINISHED", print)
    check_whole(folder, mlflow_server)
