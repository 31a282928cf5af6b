"""A process shows what it is doing, also while it holds Python's lock, and after it was killed."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.rank_file import RankFile, parse
from orchestrator.train import stacks

REPOSITORY = Path(__file__).parents[3]

WAITS = """
import sys, time
from orchestrator.train import stacks

stacks.BEAT_SECONDS, stacks.HANG_SECONDS, stacks.COST_SHARE = 0.05, 0.1, 1

def waits_in_python(): time.sleep(60)

def holds_the_lock():
    import ctypes, os
    from pathlib import Path
    own = f"orch-rank-digits-1-{os.getpid()}.txt"
    while not Path(os.readlink("/proc/self/fd/1")).with_name(own).exists(): time.sleep(0.01)
    ctypes.PyDLL(None).sleep(60)

def holds_it_as_the_file_is_replaced():
    import ctypes
    from pathlib import Path
    replace = Path.replace
    def and_hold(file, target):
        replace(file, target)
        ctypes.PyDLL(None).sleep(60)
    Path.replace = and_hold
    time.sleep(60)

with stacks.shown("digits-1", 1, 2, trial="t007"):
    globals()[sys.argv[1]]()
"""

Start = Callable[..., Path]


@pytest.fixture
def start(tmp_path: Path, request: pytest.FixtureRequest) -> Start:
    """Start a program whose output is where Ray keeps it; return the file of its rank."""

    def begin(program: str, *arguments: str) -> Path:
        out_file, err_file = tmp_path / "worker-ab.out", tmp_path / "worker-ab.err"
        with out_file.open("w") as out, err_file.open("w") as err:
            process = subprocess.Popen(
                [sys.executable, "-c", program, *arguments], stdout=out, stderr=err, cwd=REPOSITORY
            )

        def end() -> None:
            process.kill()
            process.wait()

        request.addfinalizer(end)
        return tmp_path / f"orch-rank-digits-1-{process.pid}.txt"

    return begin


def wait_for(file: Path, ready: Callable[[RankFile], bool]) -> RankFile:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if file.exists() and (said := parse(file.read_text())) and ready(said):
            return said
        time.sleep(0.02)
    raise AssertionError(file.read_text() if file.exists() else "no file")


def test_a_process_that_waits_is_shown_with_where_it_is(start: Start) -> None:
    file = start(WAITS, "waits_in_python")
    said = wait_for(file, lambda said: " in waits_in_python\n" in said.stacks)
    assert (said.run, said.trial, said.rank, said.world) == ("digits-1", "t007", 1, 2)
    assert said.output == ("worker-ab.out", "worker-ab.err")
    assert said.code == str(REPOSITORY)
    later = wait_for(file, lambda now: now.seen > said.seen)
    assert later.began == said.began


@pytest.mark.parametrize(
    ("holds", "where"),
    [("holds_the_lock", "holds_the_lock"), ("holds_it_as_the_file_is_replaced", "and_hold")],
)
def test_a_process_that_holds_pythons_lock_is_shown_by_a_thread_that_needs_none(
    start: Start, holds: str, where: str
) -> None:
    file = start(WAITS, holds)
    said = wait_for(file, lambda said: "Timeout (" in said.stacks)
    assert f" in {where}\n" in said.stacks.rpartition("Timeout (")[2]


def test_at_the_end_the_file_says_so_and_keeps_where_the_output_is(start: Start) -> None:
    program = WAITS.replace("time.sleep(60)", "time.sleep(0.1)")
    said = wait_for(start(program, "waits_in_python"), lambda said: said.ended)
    assert (said.stacks, said.output) == ("", ("worker-ab.out", "worker-ab.err"))


def test_elsewhere_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "_file_behind", lambda _: tmp_path / "job-driver-a.log")
    with stacks.shown("digits-1", 0, 1):
        pass
    assert list(tmp_path.iterdir()) == []
