"""Ports, folders and the lock by which a head is known to live."""

import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cluster import head_process
from orchestrator.errors import Unreachable
from tests.fake_cluster import FakeCluster

HOLD = """
import fcntl, sys, time
alive = open(sys.argv[1], "wb")
fcntl.flock(alive, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


def test_a_dashboard_port_that_is_taken_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        monkeypatch.setattr(head_process, "FIRST_PORT", taken)
        monkeypatch.setattr(head_process, "LAST_PORT", taken + 1)
        assert head_process.dashboard_port() != taken
    assert head_process.dashboard_port() == taken


def test_the_folder_of_a_head_is_closed_and_short_enough_for_sockets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(head_process.tempfile, "tempdir", str(tmp_path / ("long" * 20)))
    folder = head_process.make_folder()
    try:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        socket_path = folder / "ray/session_2026-11-21_14-13-11_676820_4194304/sockets/plasma_store"
        assert len(str(socket_path)) < 104
    finally:
        shutil.rmtree(folder)


def test_each_head_has_a_token_of_its_own_that_only_its_owner_can_read() -> None:
    folders = [head_process.make_folder() for _ in range(2)]
    try:
        files = [head_process.token_file(folder) for folder in folders]
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        tokens = {file.read_text() for file in files}
        assert len(tokens) == 2
        assert {len(token) for token in tokens} == {64}
    finally:
        for folder in folders:
            shutil.rmtree(folder)


def test_a_head_asks_for_its_own_token_whatever_this_shell_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "of another cluster")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/another/token")
    environment = head_process._environment(tmp_path, gcs_port=1)
    assert {key: value for key, value in environment.items() if key.startswith("RAY_AUTH")} == {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token"),
    }


@pytest.mark.parametrize(("asked", "niceness"), [(None, "0"), ("7", "7")])
def test_workers_of_a_head_of_ours_are_not_niced_unless_that_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: str | None, niceness: str
) -> None:
    monkeypatch.delenv("RAY_worker_niceness", raising=False)
    if asked:
        monkeypatch.setenv("RAY_worker_niceness", asked)
    assert head_process._environment(tmp_path, gcs_port=1)["RAY_worker_niceness"] == niceness


def test_a_head_lives_as_long_as_its_lock_is_held(tmp_path: Path) -> None:
    assert not head_process.is_alive(tmp_path)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "alive")], stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    with holder:
        holder.stdout.readline()
        assert head_process.is_alive(tmp_path)
        holder.kill()
    assert not head_process.is_alive(tmp_path)


SLEEP = "import sys, time; print('up', flush=True); time.sleep(60)"
HEIR = f"""
import os, subprocess, sys
with open("log", "w") as log:
    heir = subprocess.Popen([sys.executable, "-c", {SLEEP!r}], stdout=subprocess.PIPE, stderr=log)
heir.stdout.readline()
print(heir.pid, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a head."""
    made = tmp_path / f"{head_process.PREFIX}x"
    made.mkdir()
    return made


def started(code: str, **how: Any) -> tuple[subprocess.Popen[str], str]:
    """Start Python; return the process and the first line that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, **how
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_what_is_left_of_a_head_is_found_by_its_mark_and_ended(folder: Path) -> None:
    marked, _ = started(SLEEP, env={head_process.MARK: str(folder)}, start_new_session=True)
    with marked:
        assert head_process.processes(folder) == [marked.pid]
        assert head_process.end(folder)
    assert marked.returncode == -9
    head_process.remove(folder)
    assert not folder.exists()
    assert not head_process.end(folder)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="/proc tells what is left")
def test_what_outlives_a_killed_head_without_its_mark_is_found_by_its_session(
    folder: Path,
) -> None:
    killed, heir = started(HEIR, env={}, cwd=folder, start_new_session=True)
    with killed:
        (folder / "pid").write_text(f"{killed.pid}\n")
    assert killed.returncode == -9
    assert head_process.processes(folder) == [int(heir)]
    assert head_process.end(folder)
    assert not Path(f"/proc/{heir}/cwd").exists()  # gone, or waiting to be reaped


def test_who_only_looks_into_the_folder_of_a_head_is_left_in_peace(folder: Path) -> None:
    looking, _ = started(SLEEP, cwd=folder)
    with looking:
        (folder / "pid").write_text(f"{looking.pid}\n")
        assert not head_process.end(folder)
        assert looking.poll() is None
        looking.kill()


def test_a_process_that_has_got_the_number_of_a_dead_head_is_left_in_peace(folder: Path) -> None:
    other, _ = started(SLEEP, start_new_session=True)
    with other:
        (folder / "pid").write_text(f"{other.pid}\n")
        assert not head_process.end(folder)
        assert other.poll() is None
        other.kill()


def test_the_last_words_of_a_head_are_told_without_frames(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(
        "Local node IP\nTraceback (most recent call last):\n"
        '  File "node.py", line 440, in __init__\n    raise Exception(\n'
        "Exception: The node timed out.\n"
    )
    last = "Traceback (most recent call last):\nException: The node timed out."
    assert head_process.log_tail(tmp_path, lines=2) == last


def test_a_head_and_its_jobs_put_temporary_files_into_its_folder() -> None:
    folder = head_process.make_folder()
    try:
        temporary = Path(head_process._environment(folder, gcs_port=1)["TMPDIR"])
        assert temporary.parent == folder
        assert temporary.is_dir()
        assert len(str(temporary / "pymp-01234567/listener-01234567")) < 104
    finally:
        shutil.rmtree(folder)


def test_another_head_at_the_port_is_noticed_while_our_own_still_starts(
    folder: Path, monkeypatch: pytest.MonkeyPatch, cluster: FakeCluster
) -> None:
    cluster.token = "of the other head"
    head_process.token_file(folder).write_text("ours")
    monkeypatch.setattr(head_process, "START_SECONDS", 1.0)
    monkeypatch.setattr(head_process, "is_alive", lambda _: True)
    with pytest.raises(Unreachable, match="Another head answers at"):
        head_process.wait_until_ready(folder, cluster.url)
