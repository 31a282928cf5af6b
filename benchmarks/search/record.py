"""Record the table on which searches are replayed: every cell of a grid, trained with each seed.

    nice python -m benchmarks.search.record --root FOLDER

FOLDER is the root of the data that `job.yaml` trains on. One worker trains at a time, in one thread
and without Ray: first at each bit-width alone, which Delta_B needs, then all cells of `table.yaml`
with the first seed, then with the next. What has ended is a line of
`benchmarks/results/search_table.jsonl` and is not trained again: the recording may be stopped at
any time and called again.
"""

import argparse
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
import yaml

from benchmarks.alone import train_for_table
from benchmarks.results_file import RESULTS
from benchmarks.search.trainings import Training, keep, read
from models.precision import Precision
from orchestrator.job.load import load_job
from orchestrator.job.schema import Job
from orchestrator.job.search import Search
from orchestrator.job.space import Settings

HERE = Path(__file__).parent
TABLE = RESULTS / "search_table.jsonl"


class Wanted(NamedTuple):
    """A training to make: of a cell, or alone at one bit-width."""

    settings: Settings
    alone: str
    seed: int


def main() -> None:
    """Make the trainings that are not in the table yet."""
    parser = argparse.ArgumentParser(description="Record the table of the search's benchmark.")
    parser.add_argument("--root", type=Path, required=True)
    root = parser.parse_args().root
    torch.set_num_threads(1)
    made = [Wanted(one.settings, one.alone, one.seed) for one in read(TABLE)]
    missing = [wanted for wanted in all_wanted() if wanted not in made]
    for number, wanted in enumerate(missing, start=1):
        training = recorded(wanted, root)
        keep(TABLE, training)
        last = training.failed or training.epochs[-1]
        print(f"{number}/{len(missing)}: {wanted}: {last}, {training.cpu_seconds} s", flush=True)


def search() -> Search:
    """Return the search whose grid is recorded."""
    return Search.model_validate(yaml.safe_load((HERE / "table.yaml").read_text("utf-8"))["search"])


def all_wanted() -> Iterator[Wanted]:
    """Yield all trainings of the table, in the order in which they are made."""
    wanted = search()
    points = load_job(HERE / "job.yaml").job.points
    for seed in range(wanted.seeds):
        yield from (Wanted({}, point.name, seed) for point in points)
    listed = [axis.values or () for axis in wanted.space.values()]
    for seed in range(wanted.seeds):
        for values in itertools.product(*listed):
            yield Wanted(dict(zip(wanted.space, values, strict=True)), "", seed)


def recorded(wanted: Wanted, root: Path) -> Training:
    """Make a training."""
    with TemporaryDirectory() as place:
        return train_for_table(_job(wanted, root), Path(place), wanted.settings, wanted.alone)


def _job(wanted: Wanted, root: Path) -> Job:
    given = {**wanted.settings, "seed": wanted.seed, "data.root": str(root)}
    overrides = [f"{key}={json.dumps(value)}" for key, value in given.items()]
    precision = Precision.parse(wanted.alone) if wanted.alone else None
    return load_job(HERE / "job.yaml", overrides, individual_at=precision).job


if __name__ == "__main__":
    main()
