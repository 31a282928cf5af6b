"""Train a job in one process: a single worker, without Ray and without a record."""

import argparse
import io
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import redirect_stdout
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch

from benchmarks.results_file import REPOSITORY, conditions, positive
from benchmarks.search.trainings import Training
from orchestrator import events
from orchestrator.errors import OrchError
from orchestrator.job.schema import Job
from orchestrator.job.source import dump
from orchestrator.store.run_folder import RunFolder
from orchestrator.train.context import FolderContext
from orchestrator.train.numerics import set_numerics
from orchestrator.train.ranks import Ranks
from orchestrator.train.worker import Run, Worker
from orchestrator.typed_json import Values

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class Given(NamedTuple):
    """What a command line says. root: of the data. work: where runs have their folders."""

    root: Path
    work: Path
    seeds: int


def command_line(name: str, description: str) -> Given:
    """Read --root FOLDER [--work FOLDER] [--seeds N] of the benchmark of a name."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=REPOSITORY / "runs" / name)
    parser.add_argument("--seeds", type=positive, default=2)
    return Given(**vars(parser.parse_args()))


class Alone(FolderContext):
    """A single process, which keeps the last checkpoint and starts from none."""

    def __init__(self, run: RunFolder) -> None:
        super().__init__(run, Ranks(), keep=1)

    def latest(self) -> None:
        """Return None: the run is new."""
        return


class Trained(NamedTuple):
    """The metric by operating point after each epoch, in percent; why there are no more, or ""."""

    epochs: tuple[dict[str, float], ...]
    failed: str


def train(job: Job, place: Path) -> Trained:
    """Train a job from start to end; `place` becomes the folder of the run."""
    set_numerics(job.training)
    printed, failed, folder = io.StringIO(), "", RunFolder(place)
    folder.make()
    folder.job.write(dump(job.as_dict()))
    with redirect_stdout(printed):
        try:
            Worker(job, Run(folder), Alone(folder)).run()
        except OrchError as error:
            failed = str(error)
    said = map(events.parse, printed.getvalue().splitlines())
    evaluated = (one.metric for one in said if isinstance(one, events.Evaluated))
    return Trained(tuple(map(_finite, evaluated)), failed)


def _finite(metric: events.PointValues) -> dict[str, float]:
    """Return the metric of an epoch; a worker stops before it reports one that is not finite."""
    return {point: value for point, value in metric.items() if value is not None}


def train_for_table(job: Job, place: Path, settings: Values, alone: str) -> Training:
    """Train a job in a new folder, for a table; one that fails keeps the epochs before."""
    about = conditions("")
    began = time.process_time()
    epochs, failed = train(job, place)
    return Training(
        settings=settings,
        alone=alone,
        seed=job.seed,
        epochs=epochs,
        failed=failed,
        cpu_seconds=round(time.process_time() - began, 1),
        date=str(about["date"]),
        load=float(str(about["load"])),
        commit=str(about["commit"]),
    )


def two_at_a_time(
    function: Callable[[Item], Outcome], items: Iterable[Item]
) -> Iterator[tuple[Item, Outcome]]:
    """Yield each item and what the function makes of it, as it ends; each has its own process.

    A process computes in one thread.
    """
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, spawn, torch.set_num_threads, (1,), max_tasks_per_child=1) as pool:
        items_of = {pool.submit(function, item): item for item in items}
        for done in as_completed(items_of):
            yield items_of[done], done.result()
