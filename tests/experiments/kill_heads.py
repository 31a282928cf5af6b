"""Start local heads, kill one of their processes, say `orch down`, and list what is left.

    ORCH_HOME=$(mktemp -d) python tests/experiments/kill_heads.py 50

Looked at before and after: the processes of this user that name Ray, /tmp, /dev/shm and the
records of local heads. Half a minute a round, so it is no part of the tests.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from orchestrator.cluster import head_process, local

VICTIMS = ("ray.scripts.scripts", "raylet", "gcs_server", "dashboard.py", "", "nobody")
"""What the command line of the process to kill contains; the empty text is in all of them."""


def _looked_at() -> set[str]:
    found = {str(path) for place in ("/tmp", "/dev/shm") for path in Path(place).iterdir()}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if "orch-head" in command or command.startswith("ray::"):
            found.add(f"{path.parent.name}: {command[:80]}")
    return found


def _killed(folder: Path, victim: str) -> str:
    """Kill one process of a head; return its command's beginning."""
    commands = {}
    for pid in head_process.processes(folder):
        text = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        if victim in text.replace(str(folder), ""):
            commands[pid] = text
    if not commands:
        return "nothing"
    pid = random.choice(sorted(commands))
    os.kill(pid, signal.SIGKILL)
    return f"{pid} {commands[pid][:60]}"


def main(rounds: int) -> None:
    """Play the rounds and print what each one left."""
    before = _looked_at()
    for number in range(rounds):
        with local.locked():
            head = local.ensure(lambda _: None)
        killed = _killed(Path(head.folder), VICTIMS[number % len(VICTIMS)])
        time.sleep(random.choice((0, 0.5, 3)))
        orch = [sys.executable, "-m", "orchestrator", "down", "--yes"]
        said = subprocess.run(orch, capture_output=True, text=True, check=False)
        left = [*_looked_at() - before, *(local.orch_home() / "local").glob("*.json")]
        answer = (said.stdout + said.stderr).strip()
        print(f"{number + 1}: killed {killed}; {answer}; left: {left or 'nothing'}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]))
