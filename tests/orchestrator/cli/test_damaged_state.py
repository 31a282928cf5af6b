"""Files of orch that are cut, of another version, or folders: every command continues."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import ShellComplete

from orchestrator.cli import doctor
from orchestrator.cli.main import cli
from orchestrator.cluster import local
from orchestrator.run_facts import RunFacts
from orchestrator.runs import registry
from orchestrator.runs.registry import Attempt, Outcome, Record
from orchestrator.state import State
from orchestrator.typed_json import plain
from tests.orchestrator.cli.conftest import Orch
from tests.orchestrator.statements import FINISHED

ENDED = Outcome(State.SUCCEEDED, 0, "", RunFacts().after(FINISHED))
ATTEMPT = {"submission_id": "old-1", "submitted_at": 9.0, "outcome": None}
DAMAGES: dict[str, bytes] = {
    "empty": b"",
    "cut": b'{"run": "old-1", "na',
    "binary": bytes(range(256)),
    "zeros": bytes(512),
    "deep": b"[" * 100_000,
    "no object": b"[1]",
    "null": b"null",
    "an older version": json.dumps({"run": "old-1", "attempts": [ATTEMPT]}).encode(),
}
WHOLE = {
    "run": "old-1",
    "name": "old",
    "job": {},
    "job_file": "x",
    "address": "http://127.0.0.1:1",
    "local": False,
    "run_dir": "/x",
    "attempts": [ATTEMPT],
}
DAMAGES |= {
    name: json.dumps(WHOLE | change).encode()
    for name, change in {
        "a copy under another name": {"run": "copy-1"},
        "a copy as a trial": {"run": "old-1.t001"},
        "a date far off": {"attempts": [ATTEMPT | {"submitted_at": 1e30}]},
        "no number as a date": {"attempts": [ATTEMPT | {"submitted_at": float("nan")}]},
    }.items()
}


def finished(run: str = "digits-1", **changes: Any) -> Record:
    ended = (Attempt(run, 1.0, ENDED),)
    values = {"job": {}, "job_file": "x", "address": "http://127.0.0.1:1", "local": False}
    made = {"run": run, "name": "digits", "run_dir": "/x", "attempts": ended, **values}
    return Record(**{**made, **changes})


def broken(path: Path, content: bytes | None) -> Path:
    """Write a damaged file; with no content, make a folder in its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content) if content is not None else path.mkdir()
    return path


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    registry.save(finished())
    return tmp_path / "orch" / "runs"


@pytest.mark.parametrize("content", [*DAMAGES.values(), None], ids=[*DAMAGES, "a folder"])
def test_a_damaged_record_is_named_once_and_skipped(
    orch: Orch, runs: Path, content: bytes | None
) -> None:
    path = broken(runs / "old-1.json", content)
    shown = orch("list")
    assert (shown.exit_code, shown.stdout.count("digits-1")) == (0, 1)
    assert shown.stderr.count(str(path)) == 1
    assert shown.stderr.endswith("Remove it, or move it away.\n")


@pytest.mark.parametrize(
    ("command", "code"),
    [("status", 0), ("logs", 3), ("wait", 0), ("stop", 0), ("resume", 2)],
)
def test_every_command_finds_the_whole_records_beside_it(
    orch: Orch, runs: Path, command: str, code: int
) -> None:
    path = broken(runs / "old-1.json", b"")
    shown = orch(command, "last")
    assert (shown.exit_code, isinstance(shown.exception, SystemExit | None)) == (code, True)
    assert shown.stderr.count(str(path)) == 1
    assert "Traceback" not in shown.stderr


@pytest.mark.usefixtures("runs")
def test_completion_says_nothing_about_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken(tmp_path / "orch" / "runs" / "old-1.json", b"{")
    found = ShellComplete(cli, {}, "orch", "_ORCH_COMPLETE").get_completions(["status"], "")
    assert [item.value for item in found] == ["last", "digits", "digits-1"]
    assert capfd.readouterr().err == ""


def test_a_record_of_a_newer_version_is_read_without_what_only_that_one_knows(
    orch: Orch, runs: Path
) -> None:
    values = plain(finished("new-1"))
    values["attempts"][0]["color"] = "blue"
    (runs / "new-1.json").write_text(json.dumps(values | {"queue": "night"}))
    shown = orch("list")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert "new-1" in shown.stdout


@pytest.mark.parametrize(
    "outcome",
    [
        plain(ENDED) | {"state": "PAUSED"},
        {"state": "FAILED"},
        plain(ENDED) | {"facts": None},
        plain(ENDED) | {"exit_code": "one"},
        plain(ENDED) | {"ended": 1e30},
        ["SUCCEEDED"],
    ],
)
def test_an_end_from_another_version_is_asked_for_again(
    orch: Orch, runs: Path, outcome: Any
) -> None:
    values = plain(finished())
    values["attempts"][0]["outcome"] = outcome
    (runs / "digits-1.json").write_text(json.dumps(values))
    shown = orch("status", "last", "--json")
    assert (shown.exit_code, json.loads(shown.stdout)["state"]) == (0, "PENDING")


def test_an_end_with_facts_of_another_version_counts_without_them(orch: Orch, runs: Path) -> None:
    values = plain(finished())
    values["attempts"][0]["outcome"]["facts"]["finished"] = {"table": 3}
    (runs / "digits-1.json").write_text(json.dumps(values))
    printed = json.loads(orch("status", "last", "--json").stdout)
    assert (printed["state"], printed["result"]) == ("SUCCEEDED", None)


@pytest.mark.parametrize(
    "facts",
    [
        {"state": "PAUSED"},
        {"progress": {"epoch": 1}, "state": "RUNNING"},
        {"started": "yes", "evaluated": {"metric": 3}},
        {"finished": {"rows": []}, "failed": {"text": "x"}, "stopped": []},
        {"finished": plain(FINISHED) | {"rows": [{"point": 8}]}},
        {"failed": {"message": "x", "exit_code": "one"}, "state": "FAILED"},
        ["state"],
        None,
    ],
)
def test_malformed_facts_in_a_runs_folder_are_left_out(
    orch: Orch, tmp_path: Path, facts: Any
) -> None:
    record = finished(run_dir=str(tmp_path / "run"), attempts=(Attempt("digits-1", 1.0),))
    registry.save(record)
    broken(tmp_path / "run" / "progress.json", json.dumps(facts).encode())
    for command in (("list",), ("status", "last"), ("status", "last", "--json")):
        shown = orch(*command)
        assert (shown.exit_code, shown.exception) == (0, None)


@pytest.mark.parametrize("content", [*DAMAGES.values(), None], ids=[*DAMAGES, "a folder"])
def test_a_damaged_note_of_the_local_head_is_named_by_those_who_look_for_it(
    orch: Orch, content: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = broken(local._state_file(), content)
    shown = orch("down")
    assert (shown.exit_code, shown.stdout) == (0, "No local Ray cluster is running.\n")
    assert shown.stderr.count(str(path)) == 1
    monkeypatch.setattr(doctor, "CHECKS", (doctor._cluster,))
    assert "not running" in orch("doctor").stdout


@pytest.mark.usefixtures("runs")
def test_records_that_may_not_be_read_are_no_empty_list(
    orch: Orch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", forbidden)
    shown = orch("list")
    assert shown.exit_code == 2
    assert "Permission denied" in shown.stderr
    assert "Set ORCH_HOME" in shown.stderr
