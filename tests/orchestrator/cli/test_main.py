"""The command itself: what it imports, how its errors look, what help shows."""

import json
import os
import pwd
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pytest

from orchestrator.cli import doctor
from orchestrator.cli.main import COMMANDS, cli
from orchestrator.errors import Unreachable
from orchestrator.run_facts import RunFacts
from orchestrator.runs import registry
from orchestrator.runs.registry import Attempt, Outcome, Record
from orchestrator.state import State
from tests.fake_cluster import FakeCluster
from tests.orchestrator import journals
from tests.orchestrator.cli.conftest import JOB, Orch
from tests.orchestrator.statements import PROGRESS, SEARCHING, STARTED, kept_facts

HEAVY = {"torch", "ray", "mlflow", "pydantic", "numpy", "yaml"}
REPOSITORY = Path(__file__).parents[3]


ONE_AFTER_ANOTHER = """
import json, sys
from orchestrator.cli.main import main
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["orch", *arguments]
    try:
        main()
    except SystemExit as end:
        print(f"\\nended with {end.code or 0}", flush=True)
print(json.dumps(list(sys.modules)))
"""


def outputs_of(*commands: Sequence[str], encoding: str = "utf-8", **how: Any) -> list[str]:
    """Run commands in one process; return what each said, and a list of the modules loaded then."""
    done = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_ANOTHER, json.dumps(commands)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding=encoding,
        check=True,
        **{"cwd": REPOSITORY} | how,
    )
    said = re.split(r"\nended with [02]\n", done.stdout)
    assert len(said) == len(commands) + 1, done.stdout
    return said


def imported_by(*commands: Sequence[str]) -> set[str]:
    """Return the modules that are loaded when commands have ended."""
    return set(json.loads(outputs_of(*commands)[-1]))


@pytest.mark.parametrize(
    "arguments", [("--help",), ("list",), ("status", "last"), ("completion", "bash")]
)
def test_quick_commands_load_nothing_heavy_and_few_modules(arguments: tuple[str, ...]) -> None:
    # Seconds would measure the machine; about half a thousandth of one goes into each module.
    ended = Attempt("digits-1", 1.0, Outcome(State.FAILED, 1, "", RunFacts()))
    registry.save(Record("digits-1", "digits", {}, "x", "http://x", False, "/x", (ended,)))
    loaded = imported_by(arguments)
    assert loaded.isdisjoint(HEAVY)
    assert len(loaded) < 350


def test_the_status_of_a_search_is_read_without_anything_heavy(search: Record) -> None:
    journals.write(search, journals.half_done())
    loaded = imported_by(("list",), ("status", "digits"), ("status", "digits.t001"))
    assert loaded.isdisjoint(HEAVY)
    assert len(loaded) < 350


def test_the_status_of_a_running_job_in_a_bucket_asks_its_cluster_and_not_s3(
    cluster: FakeCluster,
) -> None:
    attempts = (Attempt("digits-1", 1.0),)
    place = "s3://no-such-bucket/runs/digits-1"
    registry.save(Record("digits-1", "digits", {}, "x", cluster.url, False, place, attempts))
    cluster.add("digits-1", facts=kept_facts(STARTED, PROGRESS))
    listed, status, loaded = outputs_of(("list",), ("status", "digits", "--json"))
    assert "1/2 step 3/9" in listed
    assert json.loads(status)["progress"]["step"] == 3
    assert json.loads(status)["mlflow"]["metrics_waiting"] is None
    assert {"boto3", "botocore", *HEAVY}.isdisjoint(json.loads(loaded))


def test_so_does_that_of_a_running_search(cluster: FakeCluster) -> None:
    attempts, job = (Attempt("digits-1", 1.0),), {"search": journals.SEARCH}
    place = "s3://no-such-bucket/runs/digits-1"
    registry.save(Record("digits-1", "digits", job, "x", cluster.url, False, place, attempts))
    cluster.add("digits-1", facts=kept_facts(STARTED, SEARCHING))
    status, loaded = outputs_of(("status", "digits", "--json"))
    assert json.loads(status)["search"]["trials"] == SEARCHING.trials
    assert {"boto3", "botocore", *HEAVY}.isdisjoint(json.loads(loaded))


@pytest.fixture(scope="module")
def worked_here(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What commands say that need no cluster, in Latin-1; the last is which modules they load.

    They load torch, which takes seconds, so several tests look at one process.
    """
    folder = tmp_path_factory.mktemp("here")
    (folder / "tiny.yaml").write_text(JOB)
    (folder / "café.yaml").write_text("name: tiny\nextends: \N{SNOWMAN}.yaml\n")
    learned = (
        "quantizer.weights.name=lsq_floor",
        "optimizer.step={lr: 0.1}",
        "model.name=resnet18",
    )
    return outputs_of(
        ("show", "tiny.yaml", "--set", "output=/tmp/é☃"),
        ("validate", "café.yaml"),
        ("status", "é☃"),
        ("list",),
        ("show", "tiny.yaml", *(word for text in learned for word in ("--set", text))),
        ("validate", "tiny.yaml"),
        ("sizes", "tiny.yaml"),
        ("analyze", "clip-error", "--bits", "2"),
        encoding="latin-1",
        cwd=folder,
        env=terminal("latin-1", folder),
    )


def terminal(encoding: str, folder: Path) -> dict[str, str]:
    """Return the surroundings of a process that writes in an encoding."""
    home = {"HOME": str(folder), "ORCH_HOME": str(folder / "é ☃")}
    return os.environ | home | {"PYTHONIOENCODING": encoding, "PYTHONPATH": str(REPOSITORY)}


def test_commands_that_work_here_load_neither_ray_nor_mlflow(worked_here: list[str]) -> None:
    loaded = set(json.loads(worked_here[-1]))
    assert {"torch", "matplotlib"} <= loaded
    assert loaded.isdisjoint({"ray", "mlflow", "matplotlib.pyplot"})
    assert "torch._dynamo" not in loaded, "the compiler takes seconds to load, to draw no weights"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(orch: Orch, name: str) -> None:
    shown = orch(name, "--help")
    assert shown.exit_code == 0
    assert f"orch {name}" in shown.output.partition("Example")[2]


def test_every_command_of_the_table_is_listed_by_its_name() -> None:
    context = click.Context(cli)
    found = [cli.get_command(context, name) for name in COMMANDS]
    assert [command.name for command in found if command] == list(COMMANDS)


def test_the_version_is_printed(orch: Orch) -> None:
    from orchestrator import __version__

    assert orch("--version").output == f"orch, version {__version__}\n"


def test_an_unknown_command_is_a_usage_error(orch: Orch) -> None:
    assert orch("sumbit").exit_code == 2


def test_an_error_of_ours_is_its_message_and_its_code(
    orch: Orch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise Unreachable("The cluster is away.")

    monkeypatch.setattr(registry, "load_all", away)
    shown = orch("list")
    assert (shown.exit_code, shown.stdout, shown.stderr) == (3, "", "The cluster is away.\n")


def test_what_the_system_refuses_is_reported_with_its_place(
    orch: Orch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> None:
        raise OSError(28, "No space left on device", "/some/file")

    monkeypatch.setattr(registry, "load_all", refused)
    shown = orch("list")
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert shown.stderr == "orch cannot continue: /some/file: No space left on device.\n"


def test_a_folder_that_was_removed_meanwhile_is_named_as_such(
    orch: Orch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    shown = orch("show", "tiny.yaml")
    assert shown.exit_code in (1, 2)
    assert "Traceback" not in shown.stderr
    assert isinstance(shown.exception, SystemExit)


def test_a_user_without_a_home_is_lent_the_folder_of_orch(
    orch: Orch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(_: int) -> None:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.delenv("HOME")
    assert orch("list").exit_code == 0
    assert Path.home() == tmp_path / "orch"


def test_no_error_shows_a_password(orch: Orch, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise Unreachable("http://me:hush@tracking:5000 is away.")

    monkeypatch.setattr(registry, "load_all", away)
    assert orch("list").stderr == "http://***@tracking:5000 is away.\n"


def test_the_password_of_a_cluster_is_not_shown(
    orch: Orch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://me:hush@127.0.0.1:1/#/jobs")
    monkeypatch.setattr(doctor, "CHECKS", (doctor._cluster,))
    for arguments in (("doctor",), ("submit", "tiny.yaml"), ("submit", "tiny.yaml", "--dry-run")):
        assert "hush" not in orch(*arguments).output


def test_an_interruption_ends_with_130(orch: Orch, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(registry, "load_all", interrupted)
    assert orch("list").exit_code == 130


def test_a_bug_shows_its_traceback_and_says_so(tmp_path: Path) -> None:
    program = (
        "from orchestrator.runs import registry\n"
        "registry.load_all = lambda: 1 / 0\n"
        "from orchestrator.cli.main import main\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "list"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert "This is a bug in orch" in done.stderr.splitlines()[-1]


def test_a_reader_that_leaves_early_gets_no_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m orchestrator completion bash | true",
        shell=True,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr


def test_a_terminal_that_cannot_show_a_character_shows_its_number(worked_here: list[str]) -> None:
    shown, refused, status, of_list, *_ = worked_here
    assert all("\\u2603" in text for text in (shown, refused, status))
    assert not [text for text in (shown, refused, status, of_list) if "Traceback" in text]


def test_click_takes_ascii_for_utf_8_and_has_no_traceback(tmp_path: Path) -> None:
    commands = [("status", "é☃"), ("list",)]
    env = terminal("ascii", tmp_path)
    said = outputs_of(*commands, encoding="latin-1", cwd=tmp_path, env=env)
    assert not [text for text in said if "Traceback" in text]
