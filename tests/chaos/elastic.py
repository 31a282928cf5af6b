"""A run whose nodes come and go: it goes on with as many workers as there are, and learns as well.

    python -m tests.chaos.elastic [--runs 3] [--seeds 6] [--keep]

A job for one to three workers begins on two nodes of one CPU each. One node is killed with all its
processes; later, two others join. A run is right when its log has the arithmetic of each number of
workers, when each step was taken on the samples that it has without Ray, which are those of an
epoch once each, when MLflow has every metric of every step once, and when its results lie within
three standard deviations of those that the job has with other seeds, undisturbed: each on two
workers and on three, since batch norm sees other batches there.

Seconds are from the loss of the node to the next step, which one worker takes, and from the moment
that the others have joined to the first step of three. --keep writes benchmarks/results.
"""

import argparse
import sys
import time
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from typing import NamedTuple

from benchmarks.results_file import conditions, keep, positive
from orchestrator.run_facts import finished_in
from orchestrator.store.run_folder import RunFolder
from tests import mlflow_server, raylets
from tests.chaos import samples, undisturbed
from tests.chaos.runs import Place, steps, wait_until
from tests.mlflow_server import MlflowServer
from tests.unreliable import on_the_way_to

BATCH, STEPS, EPOCHS = 30, 10, 16
JOB = (
    *("cluster.num_workers={min: 1, max: 3}", "cluster.max_batch_per_worker=15"),
    *(f"training.global_batch={BATCH}", f"training.epochs={EPOCHS}"),
    *(f"data.limit_train={BATCH * STEPS}", "data.limit_val=100"),
)
ARITHMETIC = (
    "Going on with 1 worker: global batch 30 = 1 workers x 15 per pass x 2 accumulation",
    "Going on with 3 workers: global batch 30 = 3 workers x 10 per pass x 1 accumulation",
)
DEVIATIONS = 3.0

Results = dict[str, float]
"""The final metric by operating point, in percent."""


Spread = dict[str, tuple[float, float]]


class Outcome(NamedTuple):
    """How an elastic run went: what was wrong, its results, and seconds by what they are of."""

    wrong: list[str]
    results: Results
    seconds: dict[str, float]


def main() -> None:
    """Let runs lose and gain nodes; exit with 1 unless all ended right."""
    parser = argparse.ArgumentParser(description="A run whose nodes come and go.")
    parser.add_argument("--runs", type=positive, default=3)
    parser.add_argument("--seeds", type=positive, default=6)
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    about = conditions(f"python -m tests.chaos.elastic --runs {given.runs} --seeds {given.seeds}")
    with TemporaryDirectory(prefix="chaos") as name:
        outcomes, others = all_runs(Path(name), given.runs, given.seeds)
    spreads = {workers: _spread(results) for workers, results in others.items()}
    spread = _spread([one for results in others.values() for one in results])
    for number, (wrong, results, seconds) in enumerate(outcomes):
        wrong += _outside(results, spread)
        print(f"run {number}: {wrong or 'right'}, {results}, {seconds}")
    right = sum(not outcome.wrong for outcome in outcomes)
    print(f"{right} of {len(outcomes)} runs ended right; other seeds: {spread}, {spreads}.")
    if given.keep:
        keep(
            "elastic",
            {
                **about,
                "overrides": JOB,
                "runs": len(outcomes),
                "right": right,
                "results": [outcome.results for outcome in outcomes],
                "other_seeds": {
                    "count": given.seeds,
                    "mean_and_deviation": spread,
                    **{f"on {workers} workers": each for workers, each in spreads.items()},
                },
                "seconds": [outcome.seconds for outcome in outcomes],
            },
        )
    sys.exit(right < len(outcomes))


def all_runs(folder: Path, runs: int, seeds: int) -> tuple[list[Outcome], dict[int, list[Results]]]:
    """Return how elastic runs went, and the results of undisturbed ones, by number of workers."""
    with (
        mlflow_server.serving(f"sqlite:///{folder / 'mlflow.db'}", folder) as server,
        on_the_way_to(server.url) as way,
    ):
        place = Place(folder, raylets.start_head(folder, cpus=0), way, way)
        try:
            outcomes = [one_run(place, server, number) for number in range(runs)]
        finally:
            place.close()
    run, notes = next(iter((folder / "runs").glob("quickstart-*"))), folder / "notes-0"
    return outcomes, {
        workers: [
            results_of(undisturbed.twin_of(RunFolder(run), notes, folder, seed, workers).run)
            for seed in range(1, seeds + 1)
        ]
        for workers in (2, 3)
    }


def one_run(place: Place, server: MlflowServer, number: int) -> Outcome:
    """Let a run lose one of two nodes, and gain two; return how it went."""
    for _ in range(2 - len(place.nodes)):
        place.add_node()
    notes = place.folder / f"notes-{number}"
    run = place.submit(str(place.folder / "runs"), *JOB, *samples.settings(notes))
    _reach(run, 2 * STEPS)
    lost = time.time()
    place.nodes.pop(number % 2).kill()
    alone = _first_of(notes, 1, lost, run)
    _reach(run, steps(run) + STEPS)
    for _ in range(2):
        place.add_node()
    joined = time.time()
    three = _first_of(notes, 3, 0.0, run)
    place.orch("wait", run.name, "--timeout", "600")
    place.orch("sync", run.name)
    for node in place.nodes[2:]:
        node.kill()
    del place.nodes[2:]
    twin = undisturbed.twin_of(run, notes, place.folder)
    log = place.orch("logs", run.name)
    wrong = [f"not in the log: {line}" for line in ARITHMETIC if line not in log]
    wrong += samples.faults_of(notes, twin.notes, BATCH * STEPS)
    wrong += undisturbed.faults_of_record(server, run, twin.run, same_values=False)
    seconds = {"to the next step": alone - lost, "to three workers": three - joined}
    return Outcome(wrong, results_of(run), {key: round(s, 1) for key, s in seconds.items()})


def results_of(run: RunFolder) -> Results:
    """Return the final metric of each operating point."""
    return {row.point: round(row.metric, 2) for row in finished_in(run).rows}


def _reach(run: RunFolder, wanted: int) -> None:
    wait_until(lambda: steps(run) >= wanted, run)


def _first_of(notes: Path, world: int, since: float, run: RunFolder) -> float:
    """Return when a group of so many workers has taken its first step after a time."""
    times: list[float] = []

    def seen() -> bool:
        lines = [line for line in samples.lines(notes) if line["world"] == world]
        times.extend(sorted(line["time"] for line in lines if line["time"] > since)[:1])
        return bool(times)

    wait_until(seen, run)
    return times[0]


def _spread(all_results: list[Results]) -> Spread:
    """Return the mean and the standard deviation at each operating point."""
    each = {point: [results[point] for results in all_results] for point in all_results[0]}
    return {point: (round(mean(of), 2), round(stdev(of), 2)) for point, of in each.items()}


def _outside(results: Results, spread: Spread) -> list[str]:
    """Return which results no other seed explains."""
    return [
        f"{point}: {value} is not within the spread of other seeds, {spread[point]}"
        for point, value in results.items()
        if abs(value - spread[point][0]) > DEVIATIONS * spread[point][1]
    ]


if __name__ == "__main__":
    main()
