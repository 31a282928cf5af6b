"""What a trial costs beyond its training, on a group of workers that is kept.

    python -m benchmarks.search.overhead [--trials 8]

A search on a Ray head of its own trains a short job once for each trial, one after the other, with
one worker. The same job is then trained as often in this process, without Ray, search or record.
Medians in seconds, of all trials but the first, for which the group was started:

- "period": from the moment a trial was handed to the group to that of the next one;
- "between": of that, from the end of a trial to the start of the next one;
- "plain": the training alone, from the job to the last checkpoint;
- "overhead": the period less the plain training.
"""

import argparse
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch

from benchmarks.alone import train
from benchmarks.results_file import REPOSITORY, conditions, keep, positive
from orchestrator.job.load import load_job
from orchestrator.search.journal import SearchJournal
from orchestrator.search.records import Began, Left
from orchestrator.store.run_folder import RunFolder
from orchestrator.store.search_folder import SearchFolder

JOB = REPOSITORY / "jobs" / "quickstart.yaml"
SHORT = (
    *("data.limit_train=160", "data.limit_val=32", "training.epochs=1"),
    *("cluster.num_workers=1", "cluster.max_batch_per_worker=32"),
)


def main() -> None:
    """Measure and keep the figures in benchmarks/results."""
    parser = argparse.ArgumentParser(description="What a trial costs beyond its training.")
    parser.add_argument("--trials", type=positive, default=8)
    trials = max(parser.parse_args().trials, 3)
    about = conditions(f"python -m benchmarks.search.overhead --trials {trials}")
    period, between = of_search(trials)
    torch.set_num_threads(1)
    plain = median([plain_seconds() for _ in range(trials)][1:])
    seconds = {"period": period, "between": between, "plain": plain, "overhead": period - plain}
    rounded = {name: round(value, 2) for name, value in seconds.items()}
    about |= {"job": JOB.name, "overrides": SHORT, "trials": trials}
    keep("search_overhead", {**about, "seconds": rounded})


def of_search(trials: int) -> tuple[float, float]:
    """Run the search; return the medians of "period" and "between"."""
    grid = ", ".join(f"{1 + number}e-3" for number in range(trials))
    options = (
        *SHORT,
        f"search.space.method.lambda={{grid: [{grid}]}}",
        "search.searcher={name: grid}",
        *("search.metric=mean", "search.at_once=1"),
    )
    with TemporaryDirectory() as place:
        given = [word for option in options for word in ("--set", option)]
        given += ["--set", f"output={place}/runs", "--follow"]
        env = {**os.environ, "ORCH_HOME": f"{place}/home"}
        command = [sys.executable, "-m", "orchestrator", "submit", str(JOB), *given]
        subprocess.run(command, cwd=REPOSITORY, env=env, check=True)
        [journal] = Path(place, "runs").glob("*/search.jsonl")
        records = SearchJournal(SearchFolder(RunFolder(journal.parent))).read().records
    began = [record.time for record in records if isinstance(record, Began)]
    left = [record.time for record in records if isinstance(record, Left)]
    periods = [after - before for before, after in pairwise(began[1:])]
    return median(periods), median(b - a for a, b in zip(left[1:], began[2:], strict=False))


def plain_seconds() -> float:
    """Train the job in this process; return the seconds."""
    job = load_job(JOB, SHORT).job
    with TemporaryDirectory() as place:
        start = time.monotonic()
        train(job, Path(place))
        return time.monotonic() - start


if __name__ == "__main__":
    main()
