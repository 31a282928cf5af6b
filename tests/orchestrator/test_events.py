import json
import time
from pathlib import Path

import pytest

from orchestrator.events import MARK, Events
from orchestrator.store.run_folder import RunFolder


def test_an_event_is_one_line_and_its_facts_stay_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = Events(RunFolder(tmp_path))
    events.say("progress", epoch=1, step=2)
    events.say("finished", table="| 8 |")
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line.removeprefix(MARK))["event"] for line in lines] == [
        "progress",
        "finished",
    ]
    kept = json.loads((tmp_path / "progress.json").read_text())
    assert kept["state"] == "SUCCEEDED"
    assert time.time() - kept["progress"].pop("time") < 60
    assert kept["progress"] == {"epoch": 1, "step": 2}
    assert kept["result"]["table"] == "| 8 |"


def test_a_run_that_goes_on_after_a_failure_is_running_again(tmp_path: Path) -> None:
    Events(RunFolder(tmp_path)).say("failed", message="lost", exit_code=1)
    assert json.loads((tmp_path / "progress.json").read_text())["failure"]["message"] == "lost"
    Events(RunFolder(tmp_path)).say("started", run="r")
    kept = json.loads((tmp_path / "progress.json").read_text())
    assert kept["state"] == "RUNNING"
    assert kept["failure"] is None


@pytest.mark.parametrize("content", [b"", b'{"state": "RUN', b"[1]", bytes(range(256))])
def test_damaged_facts_do_not_end_a_run(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "progress.json").write_bytes(content)
    Events(RunFolder(tmp_path)).say("progress", epoch=1)
    kept = json.loads((tmp_path / "progress.json").read_text())
    assert (kept["state"], kept["progress"]["epoch"]) == ("RUNNING", 1)


def test_a_folder_that_takes_nothing_more_is_told_once_and_the_log_tells_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = Events(RunFolder(tmp_path / "gone"))
    events.say("progress", epoch=0)
    events.say("progress", epoch=1)
    events.say("failed", message="full", exit_code=1)
    lines = [line.removeprefix(MARK) for line in capsys.readouterr().out.splitlines()]
    said = [json.loads(line)["event"] for line in lines]
    assert said == ["progress", "log", "progress", "failed"]


def test_restarts_are_kept_until_the_run_is_submitted_again(tmp_path: Path) -> None:
    file = tmp_path / "progress.json"
    Events(RunFolder(tmp_path)).say("restarted", count=2, reason="Killed.")
    Events(RunFolder(tmp_path)).say("progress", epoch=1)
    assert json.loads(file.read_text())["restarted"]["count"] == 2
    Events(RunFolder(tmp_path)).say("started", run="r")
    assert json.loads(file.read_text())["restarted"] is None
