"""The epochs of a run, read from its folder while it goes on."""

from pathlib import Path

import pytest

from orchestrator.search.records import Reported
from orchestrator.store.run_folder import RunFolder
from orchestrator.track.journal import Journal
from orchestrator.trials.tail import Tail

EPOCH = {"top1/8bit": 50.0, "top1/2bit": 40.0, "train_loss/8bit": 1.0, "delta_b": 99.0}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def test_each_epoch_is_told_once_with_its_points_its_step_and_its_own_time(
    folder: RunFolder,
) -> None:
    tail, journal = Tail("t001", folder, "top1"), Journal(folder)
    assert tail.new() == []
    journal.append(3, EPOCH | {"epoch": 1.0})
    [told] = tail.new()
    at = journal.unsent()[0][0].time_ms / 1000
    points = {"8bit": 50.0, "2bit": 40.0}
    assert told == Reported(at, "t001", epoch=1, step=3, points=points, delta_b=99.0)
    assert tail.new() == []
    journal.append(6, {"top1/8bit": 51.0, "epoch": 2.0})
    [told] = tail.new()
    assert (told.epoch, told.step, told.points, told.delta_b) == (2, 6, {"8bit": 51.0}, None)


def test_what_is_evaluated_without_training_and_a_torn_line_are_no_epochs(
    folder: RunFolder,
) -> None:
    journal = Journal(folder)
    journal.append(3, EPOCH | {"epoch": 1.0})
    journal.append(3, {"top1/3bit": 20.0, "epoch": 1.0})
    with folder.metrics.path.open("ab") as file:
        file.write(b'{"step": 6, "time_ms": 1, "metr')
    tail = Tail("t001", folder, "top1")
    assert [report.epoch for report in tail.new()] == [1]
    Journal(folder).append(6, {"top1/8bit": 51.0, "epoch": 2.0})
    assert [report.epoch for report in tail.new()] == [2]
