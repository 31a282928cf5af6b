"""Start local heads, kill one of their processes, say `orch down`, and list what is left.

    unshare -Urmpf --mount-proc --net sh -c 'mount -t tmpfs none /tmp;
        mount -t tmpfs none /dev/shm; ip link set lo up;
        python tests/experiments/kill_heads.py 50; echo "exit code $?"'

`unshare` gives it processes, ports, a /tmp and a /dev/shm of its own: all that is left is ours, and
nobody else is disturbed. Every second round has a job on the head. Half a minute a round, so it is
no part of the tests. The exit code is 1 when anything was left.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from orchestrator.cluster import head_process, local
from orchestrator.cluster.local import Head

os.environ.setdefault("ORCH_HOME", "/tmp/kill-heads-home")
VICTIMS = ("ray.scripts.scripts", "raylet", "gcs_server", "dashboard.py", "", "nobody")
"""What the command line of the process to kill contains; the empty text is in all of them."""
JOB_SECONDS = 20
END_SECONDS = 5.0
"""How long a process may take to end."""


def _command(pid: str) -> str:
    """Return a process's command line, empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""


def _looked_at() -> set[str]:
    """Return all files of the temporary folders, records of heads, and processes."""
    places = (Path("/tmp"), Path("/dev/shm"), local.orch_home() / "local")
    found = {str(path) for place in places if place.is_dir() for path in place.iterdir()}
    pids = [path.name for path in Path("/proc").glob("[0-9]*")]
    return found | {f"{pid}: {command[:80]}" for pid in pids if (command := _command(pid))}


def _left(before: set[str]) -> list[str]:
    """Return what was left behind: as soon as that is nothing, or when time is up."""
    expected = {str(local.orch_home()), str(local.orch_home() / "local" / "lock")}
    end = time.monotonic() + END_SECONDS
    while (left := _looked_at() - before - expected) and time.monotonic() < end:
        time.sleep(0.5)
    return sorted(left)


def _submit(head: Head) -> None:
    """Put a job on the head that works for a while, and wait until it runs."""
    head.client().submit("job", "echo begun; sleep 600", {}, {})
    end = time.monotonic() + JOB_SECONDS
    while "begun" not in head.client().logs("job") and time.monotonic() < end:
        time.sleep(0.5)


def _killed(folder: Path, victim: str) -> str:
    """Kill one process of a head; return its command's beginning."""
    found = {pid: _command(str(pid)) for pid in head_process.processes(folder)}
    chosen = [pid for pid, text in found.items() if victim in text.replace(str(folder), "")]
    if not chosen:
        return "nothing"
    pid = random.choice(sorted(chosen))
    os.kill(pid, signal.SIGKILL)
    return f"{pid} {found[pid].replace(sys.executable, 'python')[:70]}"


def main(rounds: int) -> int:
    """Play the rounds, print what each one left, and return how many left something."""
    before = _looked_at()
    dirty = 0
    for number in range(rounds):
        with local.locked():
            head = local.ensure(lambda _: None)
        if with_job := number % 2 == 1:
            _submit(head)
        victim = VICTIMS[number // 2 % len(VICTIMS)]
        killed = _killed(Path(head.folder), victim)
        time.sleep(random.choice((0, 0.5, 3)))
        orch = [sys.executable, "-m", "orchestrator", "down", "--yes"]
        said = subprocess.run(orch, capture_output=True, text=True, check=False)
        left = _left(before)
        dirty += bool(left)
        answer = (said.stdout + said.stderr).strip()
        begun = f"{number + 1}{' with a job' if with_job else ''}"
        print(f"{begun}: killed {killed}; {answer}; left: {left or 'nothing'}", flush=True)  # noqa: T201
        before |= set(left)
    print(f"{dirty} of {rounds} rounds left something")  # noqa: T201
    return dirty


if __name__ == "__main__":
    sys.exit(min(main(int(sys.argv[1])), 1))
