"""What rank 0 says while it trains, which must not hold it up."""

import threading
import time
from pathlib import Path

import pytest
import torch

from orchestrator.events import Evaluated, Event, Progress, of_trial, parse
from orchestrator.run_facts import Events
from orchestrator.store.run_folder import Reached, RunFolder
from orchestrator.track.result import PointResult, Result
from orchestrator.train import progress as module
from orchestrator.train.tally import Tally

STEPS = 50


class SlowEvents(Events):
    """Events for a disk that takes its time, until it is `fast`."""

    def __init__(self, folder: RunFolder) -> None:
        super().__init__(folder)
        self.fast = threading.Event()
        self.said: list[Event] = []

    def say(self, event: Event) -> None:
        self.fast.wait(10)
        self.said.append(event)
        super().say(event)


def test_before_a_step_was_measured_nobody_knows_how_long_the_rest_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = module.Progress(Events(RunFolder(tmp_path)), [2], STEPS)
    tally = Tally(["8bit"], torch.device("cpu"))
    progress.tell(Reached(0, 0, STEPS), tally)
    told = parse(capsys.readouterr().out)
    assert isinstance(told, Progress)
    assert (told.eta_seconds, told.step_seconds) == (None, None)
    progress.tell(Reached(0, 1, STEPS), tally)
    told = parse(capsys.readouterr().out)
    assert isinstance(told, Progress)
    assert told.eta_seconds == 0.0


def test_training_does_not_wait_for_a_slow_disk_and_what_is_said_keeps_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "SHORTEST_SECONDS", 0.0)
    events = SlowEvents(RunFolder(tmp_path))
    progress = module.Progress(events, [1], STEPS)
    tally = Tally(["8bit"], torch.device("cpu"))
    began = time.monotonic()
    with of_trial("t007"):
        for step in range(1, STEPS):
            progress.tell(Reached(0, 0, step), tally)
    assert time.monotonic() - began < 5
    events.fast.set()
    progress.tell(Reached(0, 0, STEPS), tally)
    reached = Result("top1", 0, STEPS, (PointResult("8bit", 50.0, 1.0),))
    progress.evaluated(Reached(0, 0, STEPS), reached, {}, {})
    first, last, evaluated = events.said
    assert isinstance(first, Progress)
    assert isinstance(last, Progress)
    assert (first.step, last.step, type(evaluated)) == (1, STEPS, Evaluated)
    assert capsys.readouterr().out.count('"trial": "t007"') == 1
