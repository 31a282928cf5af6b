"""What the quickstart reaches at each bit-width, and how long it and its start take.

    python -m benchmarks.quickstart [--runs 3]

Runs the job of `make quickstart` through `orch submit`, each time with a Ray head, a home and an
output of its own. Seconds are given as the smallest and the largest of all runs:

- "checks": until the job is submitted: the checks, and the start of the head;
- "driver": from there until the driver starts the workers: its own start, and the record;
- "workers": from there until the first steps are reported;
- "first_step": the three together;  "whole": until the command ends.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.results_file import REPOSITORY, conditions, keep, positive

SIGNS = {"checks": "Submitted ", "driver": " workers, each of which loads", "workers": "epoch 1/"}
"""The first line of the output with these words ends the stage."""


def main() -> None:
    """Measure and keep the figures in benchmarks/results."""
    parser = argparse.ArgumentParser(description="What the quickstart reaches, and when.")
    parser.add_argument("--runs", type=positive, default=3)
    runs = parser.parse_args().runs
    about = conditions(f"python -m benchmarks.quickstart --runs {runs}")
    seconds, points = zip(*(quickstart() for _ in range(runs)), strict=True)
    if any(other != points[0] for other in points):
        sys.exit(f"The runs ended with different results: {points}")
    spread = {
        stage: {
            "min": min(one[stage] for one in seconds),
            "max": max(one[stage] for one in seconds),
        }
        for stage in seconds[0]
    }
    figures = {"runs": runs, "points": points[0], "seconds": spread}
    keep("quickstart", {**about, **figures})


def quickstart() -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Run the job; return the seconds of its stages, and metric and loss by operating point."""
    with tempfile.TemporaryDirectory() as folder:
        reached = follow(Path(folder))
        [file] = Path(folder).glob("runs/*/result.json")
        result = json.loads(file.read_text())
    ends = [0.0, *(reached[stage] for stage in SIGNS)]
    seconds = {stage: ends[n + 1] - ends[n] for n, stage in enumerate(SIGNS)}
    seconds |= {"first_step": reached["workers"], "whole": reached["whole"]}
    rows = result["rows"]
    points = {r["point"]: {result["metric_name"]: r["metric"], "loss": r["loss"]} for r in rows}
    return {stage: round(value, 1) for stage, value in seconds.items()}, points


def follow(folder: Path) -> dict[str, float]:
    """Run the command; return the seconds after which each stage, and the whole, had ended."""
    command = [sys.executable, "-m", "orchestrator", "submit", "jobs/quickstart.yaml", "--follow"]
    reached: dict[str, float] = {}
    start = time.monotonic()
    with subprocess.Popen(
        [*command, "--set", f"output={folder / 'runs'}"],
        cwd=REPOSITORY,
        env={**os.environ, "ORCH_HOME": str(folder / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="")
            for stage, words in SIGNS.items():
                if words in line:
                    reached.setdefault(stage, time.monotonic() - start)
    if process.returncode:
        sys.exit(process.returncode)
    return {**reached, "whole": time.monotonic() - start}


if __name__ == "__main__":
    main()
