"""What orchestration costs: from a submission to the first step, and from a fault to the next one.

    python -m benchmarks.orchestration [--runs 3]

The quickstart's job on two workers, with a checkpoint after every step, on a Ray head of its own.
A step is over when its checkpoint is in the run's folder, which is watched from outside. Seconds
are given as the smallest and the largest of all runs:

- "cold": from `orch submit`, which has to start a Ray head first, to the first step;
- "warm": the same once a job has run on the head;
- "killed": from the end of a worker's process (SIGKILL) to the next step;
- "frozen": the same of a worker that no longer answers (SIGSTOP).
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.results_file import REPOSITORY, conditions, keep, positive
from orchestrator.store.run_folder import Reached, RunFolder

JOB = "jobs/quickstart.yaml"
OPTIONS = ("data.limit_train=320", "data.limit_val=32", "checkpoint.every_steps=1")
STEPS = 10
"""Of an epoch."""
SHORT, LONG = "training.epochs=1", "training.epochs=1000"
SETTLED_STEPS = 60
"""How many steps a run has taken before something happens to it."""
LOOK_SECONDS = 0.02
PATIENCE_SECONDS = 240.0


def main() -> None:
    """Measure and keep the figures in benchmarks/results."""
    parser = argparse.ArgumentParser(description="What orchestration costs.")
    parser.add_argument("--runs", type=positive, default=3)
    runs = parser.parse_args().runs
    about = conditions(f"python -m benchmarks.orchestration --runs {runs}")
    measured = [one_round() for _ in range(runs)]
    spread = {
        name: {"min": min(each), "max": max(each)}
        for name in measured[0]
        if (each := [one[name] for one in measured])
    }
    keep("orchestration", {**about, "job": JOB, "overrides": OPTIONS, "seconds": spread})


def one_round() -> dict[str, float]:
    """Return the seconds of everything that is measured, on one head."""
    with TemporaryDirectory() as place:
        here = Place(Path(place))
        run, cold = here.submit(SHORT)
        wait_until(run.result.exists)
        run, warm = here.submit(LONG)
        killed = here.seconds_to_next_step(run, signal.SIGKILL)
        frozen = here.seconds_to_next_step(run, signal.SIGSTOP)
        here.orch("stop", run.name)
    seconds = {"cold": cold, "warm": warm, "killed": killed, "frozen": frozen}
    return {name: round(value, 2) for name, value in seconds.items()}


@dataclass(frozen=True)
class Place:
    """A home and an output of one's own."""

    folder: Path

    def orch(self, *words: str) -> str:
        """Run a command of orch; return its output."""
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator", *words],
            cwd=REPOSITORY,
            env={**os.environ, "ORCH_HOME": str(self.folder / "home")},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout

    def submit(self, length: str) -> tuple[RunFolder, float]:
        """Submit the job; return its run and the seconds to its first step."""
        given = [word for option in (*OPTIONS, length) for word in ("--set", option)]
        start = time.monotonic()
        printed = self.orch(
            "submit", JOB, *given, "--set", f"output={self.folder / 'runs'}", "--detach", "--json"
        )
        run = RunFolder(self.folder / "runs" / json.loads(printed)["run"])
        wait_until(lambda: run.newest() is not None)
        return run, time.monotonic() - start

    def seconds_to_next_step(self, run: RunFolder, fault: signal.Signals) -> float:
        """Send a signal to the process of rank 1; return the seconds to the next step."""
        settled = run.newest()
        wait_until(lambda: steps_after(run, settled) >= SETTLED_STEPS)
        victim = self.worker(run.name)
        start = time.monotonic()
        os.kill(victim, fault)
        time.sleep(0.5)
        before = run.newest()
        wait_until(lambda: steps_after(run, before) > 0)
        return time.monotonic() - start

    def worker(self, run: str) -> int:
        """Return the process of rank 1."""
        workers = json.loads(self.orch("status", run, "--json"))["workers"]
        return next(int(one["pid"]) for one in workers if one["rank"] == 1)


def steps_after(run: RunFolder, before: Reached | None) -> int:
    """Return how many steps the run's newest checkpoint is after another one."""
    newest, old = run.newest() or Reached(0, 0, 0), before or Reached(0, 0, 0)
    return (newest.epoch - old.epoch) * STEPS + newest.step - old.step


def wait_until(ready: Callable[[], bool]) -> None:
    """Wait, and give up after PATIENCE_SECONDS."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not ready():
        if time.monotonic() > end:
            sys.exit("It took too long.")
        time.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    main()
