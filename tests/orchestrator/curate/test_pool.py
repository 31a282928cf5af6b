"""Work that processes do side by side, some of which do not survive it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from orchestrator.curate.pool import Lost, Processes, side_by_side


def double(number: int) -> int:
    """Return twice a number; its process does not survive 13."""
    if number == 13:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def at_work(_number: int) -> int:
    """Return the number of the process that works."""
    return os.getpid()


def test_even_a_few_things_are_worked_on_by_another_process() -> None:
    done = dict(Processes()(at_work, [1, 2, 3], worth=64))
    assert len(done) == 3
    assert os.getpid() not in done.values()


def test_work_that_ends_its_process_is_named_and_the_rest_is_done() -> None:
    done = dict(side_by_side(double, range(20), 2))
    assert [number for number, result in done.items() if isinstance(result, Lost)] == [13]
    assert {number: result for number, result in done.items() if number != 13} == {
        number: 2 * number for number in range(20) if number != 13
    }


def wait_here(folder: Path) -> None:
    """Note the process, and wait for longer than any test does."""
    (folder / str(os.getpid())).touch()
    time.sleep(600)


ORPHANS = """
import sys
from pathlib import Path
from orchestrator.curate.pool import side_by_side
from tests.orchestrator.curate.test_pool import wait_here
list(side_by_side(wait_here, [Path(sys.argv[1])] * 2, 2))
"""


def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    begun = subprocess.Popen([sys.executable, "-c", ORPHANS, tmp_path])
    until(lambda: len(list(tmp_path.iterdir())) == 2)
    begun.kill()
    begun.wait()
    numbers = [int(file.name) for file in tmp_path.iterdir()]
    until(lambda: not any(map(lives, numbers)))


def lives(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1]
    except FileNotFoundError:
        return False


def until(true: object) -> None:
    assert callable(true)
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)
