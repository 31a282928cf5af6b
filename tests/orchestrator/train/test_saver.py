"""Checkpoints are saved beside the training, one at a time, and nothing of it is forgotten."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from orchestrator.job.schema import Job
from orchestrator.store.run_folder import Reached, RunFolder
from orchestrator.train import driver
from orchestrator.train.context import FolderContext
from orchestrator.train.ranks import Ranks
from orchestrator.train.saver import Saver
from orchestrator.train.worker import Run, Worker

FILES = {"model.safetensors": b"1"}


class Slow:
    """A commit that waits until it may go on; `committed` is what it has done."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.committed: list[Reached] = []

    def __call__(self, contents: Mapping[str, bytes], at: Reached) -> None:
        assert self.may_go_on.wait(10)
        if at.step == 13:
            raise OSError(28, "No space left on device")
        self.committed.append(at)


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def saver(slow: Slow, tmp_path: Path) -> Saver:
    return Saver(RunFolder(tmp_path), slow)


def start(saver: Saver, step: int) -> None:
    saver.start(FILES, Reached(0, 0, step), None, is_best=False)


def end(saver: Saver, error: Exception) -> None:
    start(saver, 13)
    raise error


def test_training_goes_on_and_the_next_one_waits_for_the_one_before(
    saver: Saver, slow: Slow
) -> None:
    with saver:
        start(saver, 1)
        assert slow.committed == []
        threading.Timer(0.1, slow.may_go_on.set).start()
        start(saver, 2)
        assert slow.committed[0] == (0, 0, 1)
    assert slow.committed == [(0, 0, 1), (0, 0, 2)]


def test_an_error_is_raised_before_the_next_one_begins(saver: Saver, slow: Slow) -> None:
    slow.may_go_on.set()
    start(saver, 13)
    with pytest.raises(OSError, match="No space left"):
        start(saver, 14)
    start(saver, 15)
    saver.finish()
    assert slow.committed == [(0, 0, 15)]


def test_an_error_at_the_end_is_raised_unless_there_is_another_one(
    saver: Saver, slow: Slow, tmp_path: Path
) -> None:
    slow.may_go_on.set()
    with pytest.raises(OSError, match="No space left"), saver:
        start(saver, 13)
    of_training = ValueError("of the training")
    with pytest.raises(ValueError, match="of the training"), Saver(RunFolder(tmp_path), slow) as it:
        end(it, of_training)


def test_a_run_has_no_result_before_its_last_checkpoint(
    tiny_job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = tiny_job("quantizer.bit_widths=[8, 2]", "training.epochs=1")
    folder = RunFolder(tmp_path / "run-1")
    driver.prepare(folder, job)
    real = RunFolder.commit

    def full(self: RunFolder, contents: Mapping[str, bytes], at: Reached) -> None:
        if at.epoch == 1:
            raise OSError(28, "No space left on device", str(self))
        real(self, contents, at)

    monkeypatch.setattr(RunFolder, "commit", full)
    with pytest.raises(OSError, match="No space left"):
        Worker(job, Run(folder), FolderContext(folder, Ranks(), keep=2)).run()
    assert not folder.result.exists()
    assert folder.newest() == (0, 0, 3)
