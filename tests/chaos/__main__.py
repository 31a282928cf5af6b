"""Runs on which the bad day comes: each has to end as the one that nobody disturbed.

    python -m tests.chaos [--seeds 20] [--first 0] [--keep]

A head without CPUs and two nodes with one CPU each train a small job on two workers, once for each
seed. Meanwhile workers, nodes and drivers are killed or frozen, and the tracking server goes away.
Every other run has its folder in S3, where requests fail for a while. A run is right when its
weights are those of the job trained without Ray, bit for bit, when each step was taken on the same
samples, which are those of an epoch once each, and when MLflow has every metric of every step once,
with the same value. --keep writes benchmarks/results.
"""

import argparse
import os
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.results_file import conditions, keep, positive
from tests import mlflow_server, raylets, s3_server
from tests.chaos.day import in_s3, let_happen
from tests.chaos.faults import drawn
from tests.chaos.runs import Place
from tests.mlflow_server import MlflowServer
from tests.unreliable import on_the_way_to


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


if __name__ == "__main__":
    main()
