"""The entry point of a job, with drivers that are killed, that fail, and that are asked to stop."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator import handover
from orchestrator.run_facts import facts_of
from orchestrator.shipment import Shipment
from orchestrator.state import State
from orchestrator.store.run_folder import Reached, RunFolder
from orchestrator.store.search_folder import SearchFolder
from orchestrator.strict_json import dumps
from orchestrator.typed_json import plain
from tests.orchestrator.statements import FINISHED

DRIVER = """
import json, os, signal, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
count = len(list(folder.glob("driver_*")))
(folder / f"driver_{count}").write_text(str(os.getpid()))
act = sys.argv[2].split(",")[count]
if act == "progress":
    (folder / f"checkpoint_p01_e0000_s{count:06d}").mkdir()
    act = "killed"
if act == "epoch":
    line = {"is": "reported", "time": 1, "run": "t1", "epoch": count, "step": 1, "points": {}}
    with (folder / "search.jsonl").open("a") as journal:
        journal.write(json.dumps({**line, "delta_b": None}) + "\\n")
    act = "killed"
if act == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if act == "is_frozen":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # one that comes before the next but one line
    (folder / "ready").touch()
    os.kill(os.getpid(), signal.SIGSTOP)
if act.startswith("waits"):
    ends = {
        "waits": lambda *_: sys.exit(1),
        "waits_exits": lambda number, _: sys.exit(number),
        "waits_hears": lambda *_: (folder / "stop").touch(),
    }
    signal.signal(signal.SIGTERM, ends.get(act, signal.SIG_DFL))
    (folder / "ready").touch()
    time.sleep(60)
sys.exit(int(act))
"""


def start(
    tmp_path: Path, acts: str, allowed: int = 2, wait: float = 0.01, search: bool = False
) -> subprocess.Popen[str]:
    """Start the entry point; its drivers act as told, one after another."""
    folder = RunFolder(tmp_path / "run-1")
    folder.make()
    job = {"cluster": {"max_failures": allowed}, "search": {"trials": 2} if search else None}
    given = Shipment(folder.name, str(folder), attempt=1, job=job)
    (tmp_path / "run.json").write_text(given.text())
    program = f"""
import sys
from orchestrator.train import deputy, supervise
supervise.WAIT_SECONDS = {wait}
deputy.HEAR_SECONDS, deputy.LOOK_SECONDS = 0.2, 0.02
sys.exit(supervise.main(sys.argv[1], sys.argv[2:]))
"""
    return subprocess.Popen(
        [
            *(sys.executable, "-c", program, tmp_path / "run.json"),
            *(sys.executable, "-c", DRIVER, str(folder), acts),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return the exit code and what was printed."""
    printed, _ = process.communicate(timeout=60)
    return process.returncode, printed


def drivers(tmp_path: Path) -> list[int]:
    """Return the ids of the processes that were started as drivers."""
    return [int(file.read_text()) for file in sorted((tmp_path / "run-1").glob("driver_*"))]


@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_a_driver_that_ends_by_itself_is_not_started_again(tmp_path: Path, code: int) -> None:
    assert end(start(tmp_path, str(code)))[0] == code
    assert len(drivers(tmp_path)) == 1


@pytest.mark.parametrize(
    ("loss", "why"),
    [("killed", "killed (SIGKILL; "), ("75", "What the driver needs was lost")],
)
def test_a_driver_that_is_lost_is_followed_by_another_and_both_are_told(
    tmp_path: Path, loss: str, why: str
) -> None:
    code, printed = end(start(tmp_path, f"{loss},0"))
    assert code == 0
    assert len(drivers(tmp_path)) == 2
    [event] = [json.loads(line.partition("::orch ")[2]) for line in printed.splitlines()]
    assert (event["event"], event["count"]) == ("restarted", 1)
    assert why in event["reason"]
    kept = facts_of(RunFolder(tmp_path / "run-1"))
    assert kept.state is State.RUNNING
    assert kept.restarted is not None


@pytest.mark.parametrize(
    ("progress", "since"),
    [("progress", "the checkpoint at"), ("epoch", "the last epoch of a trial")],
)
def test_losses_without_progress_end_the_run_with_the_reason(
    tmp_path: Path, progress: str, since: str
) -> None:
    acts = f"{progress},killed,{progress},killed,killed,0"
    code, _ = end(start(tmp_path, acts, allowed=2, search=progress == "epoch"))
    assert code == 1
    assert len(drivers(tmp_path)) == 5
    failed = facts_of(RunFolder(tmp_path / "run-1")).failed
    assert failed is not None
    assert f"The driver of the run was lost 3 times since {since}" in failed.message
    assert "cluster.max_failures = 2" in failed.message
    assert "`orch resume run-1`" in failed.message


def test_a_stop_reaches_the_driver_and_no_other_is_started(tmp_path: Path) -> None:
    process = start(tmp_path, "waits,0")
    wait_for(tmp_path / "run-1" / "ready")
    asked = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert end(process)[0] == 1
    assert time.monotonic() < asked + 20  # it is not killed
    assert len(drivers(tmp_path)) == 1


@pytest.mark.parametrize("state", [State.STOPPED, State.SUCCEEDED])
def test_a_stop_between_two_drivers_is_heard_at_once(tmp_path: Path, state: State) -> None:
    process = start(tmp_path, "killed,0", wait=30.0)
    folder, begun = RunFolder(tmp_path / "run-1"), time.monotonic()
    if state is State.SUCCEEDED:
        folder.result.write(dumps(plain(FINISHED)))
    while facts_of(folder).state is not State.RUNNING:
        assert time.monotonic() < begun + 20
        time.sleep(0.01)
    process.terminate()
    assert end(process)[0] == (state is State.STOPPED)
    assert time.monotonic() < begun + 20
    assert len(drivers(tmp_path)) == 1
    assert facts_of(folder).state is state


def test_the_secrets_of_a_job_are_there_for_each_of_its_drivers_and_not_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = handover.leave(tmp_path / "secrets", "run-1", {"PASSWORD": "s"})
    monkeypatch.setenv(handover.VARIABLE, str(file))
    process = start(tmp_path, "75,waits")
    wait_for(tmp_path / "run-1" / "ready")
    assert file.exists()
    process.terminate()
    end(process)
    assert not file.exists()


@pytest.mark.parametrize("act", ["waits_dies", "waits_exits"])
def test_a_driver_that_a_stop_kills_cannot_say_how_the_run_ended_but_is_not_lost(
    tmp_path: Path, act: str
) -> None:
    process = start(tmp_path, f"{act},0")
    wait_for(tmp_path / "run-1" / "ready")
    process.terminate()
    code, printed = end(process)
    [event] = [json.loads(line.partition("::orch ")[2]) for line in printed.splitlines()]
    assert (code, event["event"], len(drivers(tmp_path))) == (1, "stopped", 1)
    assert "the driver ended before it could say what was saved" in event["message"]
    assert facts_of(RunFolder(tmp_path / "run-1")).state is State.STOPPED


@pytest.mark.parametrize("act", ["is_frozen", "waits_hears"])
def test_a_driver_that_does_not_end_is_killed_before_ray_kills_all_and_not_earlier(
    tmp_path: Path, act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_JOB_STOP_WAIT_TIME_S", "7")  # 2 s for the driver
    process = start(tmp_path, f"{act},0")
    folder = RunFolder(tmp_path / "run-1")
    wait_for(tmp_path / "run-1" / "ready")
    begun = time.monotonic()
    process.terminate()
    wait_for(tmp_path / "run-1" / "stop")
    assert time.monotonic() - begun < 1
    folder.commit({}, Reached(0, 0, 1))  # perhaps not the last: others may still be written
    code, printed = end(process)
    assert 2 <= time.monotonic() - begun < 7
    [event] = [json.loads(line.partition("::orch ")[2]) for line in printed.splitlines()]
    assert (code, event["event"], len(drivers(tmp_path))) == (1, "stopped", 1)
    assert facts_of(folder).state is State.STOPPED


def test_a_frozen_driver_of_a_search_lets_all_trials_save(tmp_path: Path) -> None:
    process = start(tmp_path, "is_frozen,0", search=True)
    search = SearchFolder(RunFolder(tmp_path / "run-1"))
    for name in ("t001", "t002"):
        search.of_run(name).make()
    search.of_run("t002").result.write(dumps(plain(FINISHED)))
    wait_for(tmp_path / "run-1" / "ready")
    process.terminate()
    wait_for(tmp_path / "run-1" / "stop")
    assert search.of_run("t001").stop_is_asked()
    assert not search.of_run("t002").stop_is_asked()
    process.kill()
    end(process)


def test_with_its_entry_point_a_driver_ends_too(tmp_path: Path) -> None:
    process = start(tmp_path, "waits,0")
    wait_for(tmp_path / "run-1" / "ready")
    [driver] = drivers(tmp_path)
    process.kill()
    process.wait()  # its output ends with the driver's
    until = time.monotonic() + 10
    while is_alive(driver):
        assert time.monotonic() < until
        time.sleep(0.01)
    process.communicate()


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def wait_for(file: Path) -> None:
    until = time.monotonic() + 30
    while not file.exists():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_it_loads_neither_torch_nor_ray_nor_pydantic() -> None:
    program = (
        "import orchestrator.train.supervise, sys; "
        "print(sorted({'torch', 'ray', 'pydantic', 'mlflow', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
