"""Ports, folders and the lock by which a head is known to live."""

import shutil
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.cluster import head_process

HOLD = """
import fcntl, sys, time
alive = open(sys.argv[1], "wb")
fcntl.flock(alive, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


def test_a_dashboard_port_that_is_taken_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_what_is_left_of_a_head_is_found_by_its_mark_and_ended(
    tmp_path: Path,
) -> None:
    folder = tmp_path / f"{head_process.PREFIX}x"
    folder.mkdir()
    marked = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"],
        env={head_process.MARK: str(folder)},
        start_new_session=True,
    )
    with marked:
        end = time.monotonic() + 5
        while head_process._left(folder) != [marked.pid] and time.monotonic() < end:
            time.sleep(0.01)
        head_process.end(folder, pid=marked.pid)
    assert marked.returncode == -9
    assert not folder.exists()
