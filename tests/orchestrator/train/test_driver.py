"""What a driver makes of what an earlier attempt left."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from orchestrator.errors import CheckpointMismatch
from orchestrator.job.schema import Job
from orchestrator.run_facts import facts_of
from orchestrator.shipment import Shipment
from orchestrator.state import State
from orchestrator.store.folder import StorageTrouble
from orchestrator.store.run_folder import RunFolder
from orchestrator.strict_json import dumps
from orchestrator.track.sender import Sender
from orchestrator.train import driver
from orchestrator.train.supervise import AGAIN
from orchestrator.train.worker import Run
from orchestrator.typed_json import plain
from tests.orchestrator.statements import FINISHED


def test_a_run_that_is_started_is_not_stopped_by_any_earlier_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_job: Callable[..., Job]
) -> None:
    folder, job = RunFolder(tmp_path / "tiny-1.t007"), tiny_job()
    folder.make()
    folder.ask_to_stop()
    folder.ask_to_stop_by_name()
    given = Shipment(folder.name, str(folder), attempt=2, job=job.as_dict())
    (tmp_path / "run.json").write_text(given.text())
    monkeypatch.setattr(driver.signal, "signal", lambda *_: None)
    monkeypatch.setattr(driver.preflight, "check", lambda *_, **__: None)
    seen: list[bool] = []

    def go(_job: Job, run: Run, _attempt: int, _sender: Sender) -> int:
        seen.append(run.folder.stop_is_asked())
        return 0

    assert driver.drive(str(tmp_path / "run.json"), go) == 0
    assert seen == [False]


def test_a_run_goes_on_whose_settings_lack_one_that_is_new(
    tmp_path: Path, tiny_job: Callable[..., Job]
) -> None:
    folder, job = RunFolder(tmp_path / "tiny-1"), tiny_job()
    driver.prepare(folder, job)
    kept = yaml.safe_load(folder.job.read())
    del kept["optimizer"]["warmup_epochs"], kept["model"]["width"]
    folder.job.write(yaml.safe_dump(kept))
    driver.prepare(folder, job)
    assert yaml.safe_load(folder.job.read()) == job.as_dict()
    folder.job.write(yaml.safe_dump(kept))
    with pytest.raises(CheckpointMismatch, match=r"model.width: 1\.0 -> 0\.5"):
        driver.prepare(folder, tiny_job("model.width=0.5"))


@pytest.mark.parametrize("early", [True, False])
def test_a_driver_that_is_asked_to_stop_says_that_a_run_with_results_has_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_job: Callable[..., Job], early: bool
) -> None:
    folder = RunFolder(tmp_path / "a-1")
    folder.make()
    folder.result.write(dumps(plain(FINISHED)))
    given = Shipment("a-1", str(folder), attempt=1, job=tiny_job().as_dict())
    (tmp_path / "run.json").write_text(given.text())
    monkeypatch.setattr(driver.signal, "signal", lambda *_: None)

    def check(*_: object, **__: object) -> None:
        if early:
            raise driver.StopAsked

    monkeypatch.setattr(driver.preflight, "check", check)
    closed: list[str] = []
    monkeypatch.setattr(driver, "close", lambda _folder, _sender, status: closed.append(status))

    def go(*_: object) -> int:
        raise driver.StopAsked

    assert driver.drive(str(tmp_path / "run.json"), go) == 0
    said = facts_of(folder)
    assert (said.state, said.stopped, closed) == (State.SUCCEEDED, None, ["FINISHED"])


def test_a_run_whose_folder_has_gone_does_not_begin_again_and_makes_no_other_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tiny_job: Callable[..., Job],
) -> None:
    job = tiny_job().as_dict()
    given = Shipment("a-1", str(tmp_path / "a-1"), attempt=2, job=job, reached="epoch 7")
    (tmp_path / "run.json").write_text(given.text())
    monkeypatch.setattr(driver.signal, "signal", lambda *_: None)
    assert driver.drive(str(tmp_path / "run.json"), lambda *_: 0) == 2
    assert "had come to epoch 7, and nothing of it is in" in capsys.readouterr().out
    assert not (tmp_path / "a-1").exists()


def test_a_driver_that_is_started_again_on_a_full_disk_fails_with_the_way_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tiny_job: Callable[..., Job],
    full_disk: Callable[[object, str], None],
) -> None:
    folder, job = RunFolder(tmp_path / "runs" / "a-1"), tiny_job()
    driver.prepare(folder, job)
    given = Shipment("a-1", str(folder), attempt=2, job=job.as_dict())
    (tmp_path / "run.json").write_text(given.text())
    monkeypatch.setattr(driver.signal, "signal", lambda *_: None)
    full_disk(Path, "write_bytes")
    assert driver.drive(str(tmp_path / "run.json"), lambda *_: 0) == 1
    assert "free some space, and `orch resume` continues" in capsys.readouterr().out


def test_a_first_attempt_whose_folder_cannot_be_made_is_to_have_another(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tiny_job: Callable[..., Job],
) -> None:
    folder = tmp_path / "file" / "a-1"
    folder.parent.touch()
    (tmp_path / "run.json").write_text(
        Shipment("a-1", str(folder), attempt=1, job=tiny_job().as_dict()).text()
    )
    monkeypatch.setattr(driver.signal, "signal", lambda *_: None)
    assert driver.drive(str(tmp_path / "run.json"), lambda *_: 0) == 2
    said = capsys.readouterr().out
    assert "is a file, not a folder; name another with --set output=DIR" in said


@pytest.mark.parametrize("content", [b"", b"a: [", b"- 1", b"\xff\xfe\x00"])
def test_damaged_settings_of_a_run_are_reported_and_rewritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    folder = RunFolder(tmp_path)
    Path(str(folder.job)).write_bytes(content)
    assert driver.kept_job(folder) is None
    assert "was damaged and is rewritten" in capsys.readouterr().out


def test_a_driver_whose_storage_goes_away_asks_for_another_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tiny_job: Callable[..., Job],
) -> None:
    given = Shipment("a-1", str(tmp_path / "a-1"), attempt=1, job=tiny_job().as_dict())
    (tmp_path / "run.json").write_text(given.text())
    monkeypatch.setattr(driver.signal, "signal", lambda *_: None)
    monkeypatch.setattr(driver.preflight, "check", lambda *_, **__: None)

    def go(*_: object) -> int:
        raise StorageTrouble("s3://b/metrics.jsonl: Connection was closed")

    assert driver.drive(str(tmp_path / "run.json"), go) == AGAIN
    [reason] = tmp_path.glob("lost-by-*")
    assert reason.read_text() == (
        "The run's storage was lost: s3://b/metrics.jsonl: Connection was closed"
    )
    assert "once the storage answers, `orch resume` continues" in capsys.readouterr().out
    assert facts_of(RunFolder(tmp_path / "a-1")).failed is None


def test_the_reason_of_a_driver_for_another_one_is_that_of_the_restart(
    tmp_path: Path, tiny_job: Callable[..., Job]
) -> None:
    given = Shipment("a-1", str(tmp_path / "a-1"), attempt=1, job=tiny_job().as_dict())
    (tmp_path / "run.json").write_text(given.text())
    RunFolder(tmp_path / "a-1").make()
    program = """
import os, signal, sys
from pathlib import Path
from orchestrator.train import driver
count = len(list(Path(sys.argv[1]).parent.glob("driver_*")))
(Path(sys.argv[1]).parent / f"driver_{count}").touch()
def go(*_):
    if count == 0:
        raise driver.LostController("Ray Train's controller was killed.")
    if count == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return 0
driver.preflight.check = lambda *_, **__: None
sys.exit(driver.drive(sys.argv[1], go))
"""
    (tmp_path / "driver.py").write_text(program)
    supervise = [sys.executable, "-m", "orchestrator.train.supervise", str(tmp_path / "run.json")]
    subprocess.run([*supervise, sys.executable, str(tmp_path / "driver.py")], check=True)
    reasons = [restart.reason for restart in facts_of(RunFolder(tmp_path / "a-1")).restarts]
    assert reasons[0] == "Ray Train's controller was killed."
    assert "SIGKILL" in reasons[1]
