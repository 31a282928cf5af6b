"""Runs on which the bad day comes: each has to end as the one that nobody disturbed.

    python -m tests.chaos [--seeds 20] [--first 0] [--keep]

A head without CPUs and two nodes with one CPU each train a small job on two workers, once for each
seed. Meanwhile workers, nodes and drivers are killed or frozen, and the tracking server goes away.
Every other run has its folder in S3, where requests fail for a while. A run is right when its
weights are those of the job trained without Ray, bit for bit, and when MLflow has every metric of
every step once, with the same value. --keep writes benchmarks/results.
"""

import argparse
import os
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.overhead import digest
from benchmarks.results_file import conditions, keep, positive
from orchestrator.store.run_folder import RunFolder
from orchestrator.track import keys
from orchestrator.track.journal import Journal
from orchestrator.train.worker import Run
from tests import mlflow_server, raylets, s3_server
from tests.chaos.faults import Fault, drawn
from tests.chaos.runs import Place, Victim
from tests.mlflow_server import MlflowServer
from tests.orchestrator.train.rank_programs import run_ranks, train_whole_run
from tests.unreliable import on_the_way_to

BY_THE_CLOCK = {keys.THROUGHPUT, keys.EPOCH_SECONDS}
"""Metrics whose values are no one else's."""

Recorded = dict[tuple[str, int], float]


def main() -> None:
    """Let the bad day come as often as asked; exit with 1 unless all runs ended right."""
    parser = argparse.ArgumentParser(description="Runs on which the bad day comes.")
    parser.add_argument("--seeds", type=positive, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--keep", action="store_true")
    given = parser.parse_args()
    about = conditions(f"python -m tests.chaos --seeds {given.seeds} --first {given.first}")
    with TemporaryDirectory(prefix="chaos") as place:
        found = all_runs(Path(place), range(given.first, given.first + given.seeds))
    right = sum(not wrong for _, wrong, _ in found)
    print(f"{right} of {len(found)} runs ended right.")
    if given.keep:
        kinds = Counter(kind for happened, _, _ in found for kind in happened)
        seconds = [taken for _, _, taken in found]
        keep(
            "chaos",
            {
                **about,
                "runs": len(found),
                "right": right,
                "faults": dict(kinds),
                "seconds": {"min": min(seconds), "max": max(seconds)},
            },
        )
    sys.exit(right < len(found))


def all_runs(folder: Path, seeds: range) -> list[tuple[list[str], list[str], float]]:
    """Return for each seed what happened, what was wrong at the end, and the seconds it took."""
    with (
        mlflow_server.serving(f"sqlite:///{folder / 'mlflow.db'}", folder) as server,
        on_the_way_to(server.url) as way,
        s3_server.serving(folder) as storage,
        on_the_way_to(storage) as way_to_storage,
    ):
        os.environ.update(s3_server.settings(way_to_storage.url))
        place = Place(folder, raylets.start_head(folder, cpus=0), way, way_to_storage)
        try:
            for _ in range(2):
                place.add_node()
            return [one_run(place, server, seed) for seed in seeds]
        finally:
            place.close()


def one_run(place: Place, server: MlflowServer, seed: int) -> tuple[list[str], list[str], float]:
    """Let the faults of a seed happen to a run; return them, and what was wrong at the end."""
    faults, start = drawn(seed, in_s3=in_s3(seed)), time.monotonic()
    happened = [fault.kind for fault in faults]
    try:
        wrong = let_happen(place, server, seed, faults)
    except AssertionError as error:
        wrong = [f"{error}"]
    taken = round(time.monotonic() - start, 1)
    print(f"seed {seed}: {', '.join(happened)}: {wrong or 'right'} ({taken} s)", flush=True)
    return list(happened), wrong, taken


def let_happen(place: Place, server: MlflowServer, seed: int, faults: list[Fault]) -> list[str]:
    """Let faults happen to a run of a seed; return what was wrong at the end.

    Raises AssertionError when it does not come to its end.
    """
    output = f"s3://{s3_server.BUCKET}/runs" if in_s3(seed) else str(place.folder / "runs")
    run = place.submit(output, f"seed={seed}")
    victim = Victim(place, run)
    for fault in faults:
        victim.suffer(fault)
    place.orch("wait", run.name, "--timeout", "600")
    place.server.become("well")
    place.storage.become("well")
    place.orch("sync", run.name)
    again = RunFolder(place.folder / "undisturbed" / run.name)
    return differences(place, server, run, again)


def in_s3(seed: int) -> bool:
    """Return whether the run of a seed has its folder in S3."""
    return seed % 2 == 1


def differences(place: Place, server: MlflowServer, run: RunFolder, again: RunFolder) -> list[str]:
    """Return in what a run differs from its job, trained again by nobody's leave."""
    again.make()
    again.job.write(run.job.read())
    run_ranks(2, place.folder / f"ranks-{run.name}", partial(train_whole_run, Run(again)))
    wrong = [] if digest(run) == digest(again) else ["other weights"]
    expected, found = recorded(again), in_mlflow(server, run)
    names = {key for key, _ in expected}
    doubled = [key for key in names if len(found[key]) != len({step for step, _ in found[key]})]
    once = {(key, step): value for key in names for step, value in found[key]}
    lacking, more = expected.keys() - once.keys(), once.keys() - expected.keys()
    other = [
        at
        for at in expected.keys() & once.keys()
        if at[0] not in BY_THE_CLOCK and once[at] != expected[at]
    ]
    for what, places in (
        ("recorded twice", doubled),
        ("lacking", lacking),
        ("unexpected", more),
        ("other", other),
    ):
        if places:
            wrong.append(f"{what}: {sorted(places)[:3]} and so on, {len(places)}")
    return wrong


def recorded(run: RunFolder) -> Recorded:
    """Return what a run has written to its journal, by metric and step."""
    lines, _ = Journal(run).unsent()
    return {(key, line.step): value for line in lines for key, value in line.metrics.items()}


def in_mlflow(server: MlflowServer, run: RunFolder) -> dict[str, list[tuple[int, float]]]:
    """Return what MLflow has of a run: of each metric the steps and values."""
    run_id = run.record.read_json()["run_id"]
    known = server.run(run_id)["data"]["metrics"]
    return {row["key"]: server.series(run_id, row["key"]) for row in known}


if __name__ == "__main__":
    main()
