"""The thread that brings a run's metrics to a real MLflow server, with trouble on the way there."""

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from orchestrator.errors import Refused, Unreachable
from orchestrator.job.schema import Job
from orchestrator.run_facts import facts_of
from orchestrator.store.run_folder import RunFolder
from orchestrator.track import record, sender
from orchestrator.track.journal import Journal
from orchestrator.track.run import TrackedRun, remembered_run, remembered_status
from orchestrator.track.sender import Sender
from orchestrator.track.server import ONCE
from tests.mlflow_server import MlflowServer
from tests.unreliable import Unreliable, on_the_way_to

SECONDS = 30.0


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(sender, "LONGEST_LOOK_SECONDS", 0.1)
    monkeypatch.setattr(sender, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(sender, "LAST_TRIES_SECONDS", 0.3)
    for name, value in ONCE.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def way(mlflow_server: MlflowServer) -> Iterator[Unreliable]:
    """The way to the server, on which all is well at first."""
    with on_the_way_to(mlflow_server.url) as server:
        yield server


@pytest.fixture
def folder(tiny_job: Callable[..., Job], tmp_path: Path, way: Unreliable) -> RunFolder:
    """The folder of a run that has recorded nothing yet; no other run has its name."""
    folder = RunFolder(tmp_path / "runs" / f"tiny-{os.urandom(4).hex()}")
    folder.make()
    job = tiny_job(f"tracking.uri={way.url}", "tracking.experiment=senders")
    folder.job.write(yaml.safe_dump(job.as_dict()))
    return folder


def wait_until(ready: Callable[[], object]) -> None:
    until = time.monotonic() + SECONDS
    while not ready():
        assert time.monotonic() < until
        time.sleep(0.01)


def tracked_in(folder: RunFolder) -> TrackedRun:
    tracked = remembered_run(folder)
    assert tracked is not None
    return tracked


def train(folder: RunFolder, *steps: int) -> None:
    for step in steps:
        Journal(folder).log(step, step, {"top1/8bit": 50.0 + step})


def close(one: Sender, folder: RunFolder) -> str:
    one.close(folder, lambda: record.sync(folder, "FINISHED", print))
    return one.finish()


def records_of(folder: RunFolder, server: MlflowServer) -> list[str]:
    """Return the ids of all records of a run that were not removed."""
    experiment = tracked_in(folder).experiment_id
    wanted = f"tags.`orch.run` = '{folder.name}'"
    found = server.post("runs/search", experiment_ids=[experiment], filter=wanted)
    return [run["info"]["run_id"] for run in found.get("runs", [])]


def check_whole(folder: RunFolder, server: MlflowServer, *steps: int) -> None:
    """Check that the one record of a run has each step once, and has been closed."""
    [run_id] = records_of(folder, server)
    assert server.series(run_id, "top1/8bit") == [(step, 50.0 + step) for step in steps]
    assert server.run(run_id)["info"]["status"] == remembered_status(folder) == "FINISHED"
    assert Journal(folder).waiting() == 0


def test_what_a_run_records_is_seen_while_it_trains_and_where_is_said_once(
    folder: RunFolder, mlflow_server: MlflowServer, capsys: pytest.CaptureFixture[str]
) -> None:
    one = Sender()
    one.watch(folder)
    for step in (1, 2):
        train(folder, step)
        wait_until(lambda: Journal(folder).waiting() == 0)
    tracked = tracked_in(folder)
    assert mlflow_server.series(tracked.run_id, "top1/8bit") == [(1, 51.0), (2, 52.0)]
    assert mlflow_server.run(tracked.run_id)["info"]["status"] == "RUNNING"
    where = facts_of(folder).record
    assert where is not None
    assert where.run_id == tracked.run_id
    assert close(one, folder) == ""
    check_whole(folder, mlflow_server, 1, 2)
    assert capsys.readouterr().out.count('"event": "recorded"') == 1


@pytest.mark.parametrize("mood", ["cut", 500, "deaf"])
def test_a_server_in_trouble_is_asked_until_it_is_well_and_both_are_said_once(
    folder: RunFolder,
    way: Unreliable,
    mlflow_server: MlflowServer,
    capsys: pytest.CaptureFixture[str],
    mood: str,
) -> None:
    way.become(mood)  # type: ignore[arg-type]
    one = Sender()
    one.watch(folder)
    train(folder, 1, 2)
    wait_until(lambda: len(way.asked) > 3)
    way.become("well")
    wait_until(lambda: Journal(folder).waiting() == 0)
    way.become(mood)  # type: ignore[arg-type]
    before = len(way.asked)
    train(folder, 3)
    wait_until(lambda: len(way.asked) > before + 1)
    way.become("well")
    assert close(one, folder) == ""
    check_whole(folder, mlflow_server, 1, 2, 3)
    said = capsys.readouterr().out
    assert said.count("does not answer") == said.count("answers again") == 2


def test_the_end_of_a_run_waits_a_little_for_a_server_that_is_away_and_all_is_sent_later(
    folder: RunFolder, way: Unreliable, mlflow_server: MlflowServer
) -> None:
    way.become("cut")
    one = Sender()
    one.watch(folder)
    train(folder, 1, 2, 3)
    began = time.monotonic()
    assert "does not answer" in close(one, folder)
    assert time.monotonic() - began < 8
    assert remembered_run(folder) is None
    assert Journal(folder).waiting() == 6
    way.become("well")
    record.sync(folder, "FINISHED", print)
    check_whole(folder, mlflow_server, 1, 2, 3)


@pytest.mark.parametrize("opened", [True, False])
def test_a_frozen_server_holds_up_neither_training_nor_its_end_and_makes_no_second_record(
    folder: RunFolder,
    way: Unreliable,
    mlflow_server: MlflowServer,
    monkeypatch: pytest.MonkeyPatch,
    opened: bool,
) -> None:
    monkeypatch.setattr(sender, "STUCK_SECONDS", 1.0)
    one = Sender()
    if opened:
        one.watch(folder)
        wait_until(lambda: facts_of(folder).record)
    way.become("frozen")
    one.watch(folder)
    before = len(way.asked)
    began = time.monotonic()
    train(folder, 1, 2)
    assert time.monotonic() - began < 3
    wait_until(lambda: len(way.asked) > before)
    assert "has not answered" in close(one, folder)
    assert time.monotonic() - began < 9
    assert Journal(folder).waiting() == 4
    way.become("cut")
    one._thread.join(SECONDS)
    way.become("well")
    record.sync(folder, "FINISHED", print)
    check_whole(folder, mlflow_server, 1, 2)


def test_a_record_whose_creation_was_never_answered_is_found_again(
    folder: RunFolder, way: Unreliable, mlflow_server: MlflowServer
) -> None:
    asked = threading.Event()
    handler = way.become

    class Once(list[str]):
        """Keeps back the answer to the first creation of a run."""

        def append(self, question: str) -> None:
            super().append(question)
            if "runs/create" in question and not asked.is_set():
                asked.set()
                handler("deaf")
            elif asked.is_set():
                handler("well")

    way.asked = Once()
    one = Sender()
    one.watch(folder)
    train(folder, 1)
    wait_until(lambda: remembered_run(folder))
    assert close(one, folder) == ""
    assert sum("runs/create" in question for question in way.asked) == 1
    check_whole(folder, mlflow_server, 1)


def test_a_sender_that_is_killed_between_sending_and_noting_it_sends_nothing_twice(
    folder: RunFolder, mlflow_server: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    tracked = record.open_record(folder, print)
    Journal(folder).log(1, 1, {"top1/8bit": 51.0, "train_loss/8bit": float("nan")})
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "mark_sent", die)
        with pytest.raises(Killed):
            record.deliver(folder, tracked, print)
    assert mlflow_server.series(tracked.run_id, "top1/8bit") == [(1, 51.0)]
    one = Sender()
    one.watch(folder)
    assert close(one, folder) == ""
    check_whole(folder, mlflow_server, 1)
    assert len(mlflow_server.series(tracked.run_id, "train_loss/8bit")) == 1


def test_metrics_that_mlflow_does_not_accept_hold_up_no_others_and_are_kept(
    folder: RunFolder, mlflow_server: MlflowServer, capsys: pytest.CaptureFixture[str]
) -> None:
    one = Sender()
    one.watch(folder)
    bad = {"top1/8bit@": 1.0, "loss[0]": 2.0}
    Journal(folder).append(1, {"top1/8bit": 51.0, **bad})
    train(folder, 2)
    assert close(one, folder) == ""
    check_whole(folder, mlflow_server, 1, 2)
    kept = folder.metrics_rejected.path.read_text().splitlines()
    assert len(kept) == 2
    assert all(any(name in line for line in kept) for name in bad)
    said = capsys.readouterr().out
    assert said.count("MLflow did not accept 2 metrics") == 1
    assert "metrics.rejected" in said


def test_steps_that_are_done_again_with_other_results_are_counted_in_a_tag(
    folder: RunFolder, mlflow_server: MlflowServer
) -> None:
    one = Sender()
    one.watch(folder)
    train(folder, 1)
    again = {"top1/8bit": 60.0, "training/epoch_seconds": 1.0}
    Journal(folder).log(1, 1, again)
    Journal(folder).log(1, 1, {"top1/8bit": 61.0, "training/epoch_seconds": 2.0})
    assert close(one, folder) == ""
    check_whole(folder, mlflow_server, 1)
    seen = mlflow_server.run(tracked_in(folder).run_id)
    tags = {tag["key"]: tag["value"] for tag in seen["data"]["tags"]}
    assert tags["orch.differs"].startswith("1 metrics had other values")


def test_a_refusal_is_said_once_and_does_not_end_the_work(
    folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        raise Refused("The experiment was deleted.")

    one = Sender()
    refused = [one.later(refuse) for _ in range(3)]
    done: list[int] = []
    for number in (1, 2):
        one.later(lambda number=number: done.append(number))  # type: ignore[misc]
    assert one.finish() == ""
    assert done == [1, 2]
    assert all(isinstance(one.exception(), Refused) for one in refused)
    assert capsys.readouterr().out.count("The experiment was deleted.") == 1


def test_at_the_end_a_silent_server_is_given_up_for_all_errands_at_once() -> None:
    asked: list[float] = []

    def ask() -> None:
        asked.append(time.monotonic())
        raise Unreachable("The tracking server does not answer.")

    one = Sender()
    for _ in range(20):
        one.later(ask)
    assert one.finish() == "The tracking server does not answer."
    assert len(asked) > 1
    assert asked[-1] - asked[0] < 1


def test_a_log_that_cannot_be_written_does_not_end_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(_: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    left = [3]

    def ask() -> str:
        left[0] -= 1
        if left[0] >= 0:
            raise Unreachable("The tracking server does not answer.")
        return "here"

    monkeypatch.setattr(sender, "warn", full)
    monkeypatch.setattr(sender, "inform", full)
    one = Sender()
    assert one.later(ask).result(SECONDS) == "here"
    assert one.finish() == ""
