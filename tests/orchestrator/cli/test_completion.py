"""Completion: the shells accept the script, and the words are the right ones."""

import shutil
import subprocess
from pathlib import Path

import click
import pytest

from orchestrator.cli.completion import SHELLS, complete_job_file, complete_run
from orchestrator.run_facts import RunFacts
from orchestrator.runs import registry
from orchestrator.runs.registry import Attempt, Record
from orchestrator.state import State
from tests.orchestrator.cli.conftest import Orch

CONTEXT, PARAMETER = click.Context(click.Command("x")), click.Argument(["x"])


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_a_script_that_asks_orch(orch: Orch, shell: str) -> None:
    assert "_ORCH_COMPLETE" in orch("completion", shell).stdout


def test_bash_accepts_the_script(orch: Orch) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    script = orch("completion", "bash").stdout
    assert subprocess.run([bash, "-n"], input=script, text=True, check=False).returncode == 0


def test_job_files_and_folders_complete(tmp_path: Path) -> None:
    (tmp_path / "jobs" / "base").mkdir(parents=True)
    for name in ("digits.yaml", "data.bin", ".hidden.yaml"):
        (tmp_path / "jobs" / name).touch()
    assert complete_job_file(CONTEXT, PARAMETER, "jobs/d") == ["jobs/digits.yaml"]
    assert complete_job_file(CONTEXT, PARAMETER, "jobs/") == ["jobs/base/", "jobs/digits.yaml"]
    assert complete_job_file(CONTEXT, PARAMETER, "none/") == []
    assert "jobs/digits.yaml" in complete_job_file(CONTEXT, PARAMETER, "")


def test_runs_complete_by_name_and_id() -> None:
    attempts = (Attempt("digits-1", 1.0),)
    registry.save(Record("digits-1", "digits", {}, "x", "http://x", False, "/x", attempts))
    assert complete_run(CONTEXT, PARAMETER, "") == ["last", "digits", "digits-1"]
    assert complete_run(CONTEXT, PARAMETER, "digits-") == ["digits-1"]


def test_the_trials_of_a_search_complete_while_it_runs(search: Record) -> None:
    for trial in ("t001", "t002s1"):
        search.search_folder.of_run(trial).make()
    assert complete_run(CONTEXT, PARAMETER, "dig") == ["digits", "digits-1"]
    assert complete_run(CONTEXT, PARAMETER, "digits-1.") == ["digits-1.t001", "digits-1.t002s1"]
    registry.note_outcome(search, registry.Outcome(State.SUCCEEDED, 0, "", RunFacts()))
    assert complete_run(CONTEXT, PARAMETER, "digits-1.") == []
