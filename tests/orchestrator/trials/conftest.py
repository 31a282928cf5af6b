"""A small search whose groups are threads of this process: no cluster."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

os.environ["RAY_TRAIN_V2_ENABLED"] = "1"

from orchestrator.job.schema import Job, job_from_dict
from orchestrator.job.source import dump
from orchestrator.run_facts import write_end
from orchestrator.search import figures
from orchestrator.search.crew import Leg, News
from orchestrator.search.records import How, Left
from orchestrator.store.run_folder import RunFolder
from orchestrator.store.search_folder import SearchFolder
from orchestrator.track import recorder
from orchestrator.track.journal import Journal
from orchestrator.track.result import PointResult, Result
from orchestrator.track.run import TrackedRun
from orchestrator.track.sender import Sender
from orchestrator.train.member import Outcome, Task
from orchestrator.train.worker import Run
from orchestrator.trials import crew as module
from orchestrator.trials import launch
from orchestrator.trials.crew import RayCrew
from orchestrator.trials.group import Lost, Shape

GRID = "search.space.optimizer.lr={grid: [0.05, 1.0e+12, 0.02]}"
SPACE = "search.space.optimizer.lr={choice: [0.01, 0.05, 0.1, 1.0e+12]}"


def pretend(task: Task) -> Outcome:
    """Leave what a run leaves that trains, in no time; too large a learning rate diverges."""
    job, folder = job_from_dict(task.job), task.run.folder
    if job.optimizer.lr > 1e11:
        return Outcome(How.FAILED, "The loss is no longer a finite number.")
    reached = folder.newest()
    for epoch in range(reached.epoch if reached else 0, job.epochs):
        if epoch == task.until:
            return Outcome(How.PARKED)
        time.sleep(ThreadGroup.seconds)
        if folder.stop_is_asked():
            return Outcome(How.STOPPED)
        top1 = 50.0 + epoch + job.seed - 100 * job.optimizer.lr
        metrics = {"top1/8bit": top1, "top1/2bit": top1 - 1, "epoch": epoch + 1.0}
        Journal(folder).append(3 * (epoch + 1), metrics)
        (Path(folder.place) / f"checkpoint_p01_e{epoch + 1:04d}_s000000").mkdir(exist_ok=True)
    write_end(folder, Result("top1", job.epochs - 1, 3 * job.epochs, (PointResult("8bit", 50, 1),)))
    return Outcome(How.FINISHED)


class ThreadGroup:
    """A group of one member in a thread.

    errors: what its members die of at their next legs. train: what they do else. seconds: of an
    epoch that is only pretended.
    """

    made: ClassVar[list["ThreadGroup"]] = []
    errors: ClassVar[list[Exception]] = []
    train: ClassVar[Callable[[Task], Outcome]] = staticmethod(pretend)
    seconds: ClassVar[float] = 0.0

    def __init__(self, shape: Shape) -> None:
        self.made.append(self)
        self.name = f"g{len(self.made)}"
        self.shape = shape
        self.closed = False
        self.has_met = True
        self.tasks: list[Task] = []
        self._pool = ThreadPoolExecutor(1)
        self._leg: Future[Outcome] = Future()

    def hand(self, task: Task) -> None:
        assert not self.closed
        self.tasks.append(task)
        self._leg = self._pool.submit(self._train, task)

    def going(self) -> list[Any]:
        return []

    def outcome(self) -> Outcome | None:
        if not self._leg.done():
            return None
        if error := self._leg.exception():
            assert isinstance(error, Exception)
            raise Lost({0: error})
        return self._leg.result()

    def close(self) -> None:
        """End the thread; unlike a killed process it gets to the end of its step."""
        self.closed = True
        if self.tasks and not self._leg.done():
            folder = self.tasks[-1].run.folder
            folder.ask_to_stop()
            self._pool.shutdown()
            folder.withdraw_stop()

    def _train(self, task: Task) -> Outcome:
        if self.errors:
            raise self.errors.pop(0)
        return type(self).train(task)


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> type[ThreadGroup]:
    """Groups of threads in place of the cluster's, which has room for one at a time."""
    monkeypatch.setattr(ThreadGroup, "made", [])
    monkeypatch.setattr(ThreadGroup, "errors", [])
    monkeypatch.setattr(module, "Group", ThreadGroup)
    monkeypatch.setattr(module, "nodes", lambda: [{"CPU": 1.0}])
    return ThreadGroup


@pytest.fixture
def search_job(tiny_job: Callable[..., Job], database: str, tmp_path: Path) -> Callable[..., Job]:
    """Load the tiny job with a search over its learning rate, in an experiment of its own."""

    def load(*overrides: str) -> Job:
        search = (SPACE, "search.metric=mean", "search.trials=3")
        own = (f"tracking.uri={database}", f"tracking.experiment={tmp_path.name}")
        return tiny_job(*search, *own, *overrides)

    return load


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the folder of the search is: on this disk, or in a bucket where "s3" is asked for."""
    if getattr(request, "param", "") == "s3":
        return str(request.getfixturevalue("s3"))
    return str(tmp_path / "runs")


@pytest.fixture
def search(search_job: Callable[..., Job], place: str) -> SearchFolder:
    """The folder of the search, in which nothing has happened."""
    folder = RunFolder(f"{place}/tiny-20260102-030405-a1b2")
    folder.make()
    folder.job.write(dump(search_job().as_dict()))
    return SearchFolder(folder)


@pytest.fixture
def record(search: SearchFolder, database: str, tmp_path: Path) -> TrackedRun:
    return recorder.open_run(database, tmp_path.name, search.run.name, search.run)


@pytest.fixture
def crew(
    search: SearchFolder, search_job: Callable[..., Job], record: TrackedRun, groups: object
) -> Iterator[RayCrew]:
    sender = Sender()
    crew = RayCrew(search, search_job(), None, sender)
    yield crew
    crew.close()
    sender.finish()


@pytest.fixture
def heard(crew: RayCrew) -> Callable[..., list[News]]:
    """Hand a leg to the crew; return its news up to its end."""

    def hear(leg: Leg) -> list[News]:
        crew.hand(leg)
        told: list[News] = []
        while not any(isinstance(news, Left) for news in told):
            told += crew.news(30)
        return told

    return hear


@pytest.fixture
def go(
    search: SearchFolder,
    search_job: Callable[..., Job],
    groups: object,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., int]:
    """Let the driver search for the best of three learning rates; return its exit code.

    No figures are drawn, which would take longer than the search.
    """
    monkeypatch.setattr(launch.driver, "connect", lambda: None)
    monkeypatch.setattr(launch.driver, "pass_stop_on", lambda _: None)
    monkeypatch.setattr(figures, "draw", lambda *_: None)

    def run(*overrides: str) -> int:
        job = search_job(GRID, "search.searcher={name: grid}", *overrides)
        search.run.job.write(yaml.safe_dump(job.as_dict()))
        search.run.withdraw_stop()
        one = Sender()
        try:
            return launch._run(job, Run(search.run), 1, one)
        finally:
            one.finish()

    return run
