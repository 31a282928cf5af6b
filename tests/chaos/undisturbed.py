"""The job of a run, trained again without Ray: what the run has to be equal to."""

import re
from functools import partial
from pathlib import Path
from typing import NamedTuple

from orchestrator.store.run_folder import RunFolder
from orchestrator.track import keys
from orchestrator.track.journal import Journal
from orchestrator.train.worker import Run
from tests.mlflow_server import MlflowServer
from tests.orchestrator.train.rank_programs import run_ranks, train_whole_run

BY_THE_CLOCK = keys.TIMES
"""Metrics whose values are no one else's."""
BY_THE_BITS = "training/teacher_share/"
"""Metrics that are recorded where a teacher was chosen, which the last bits of sums decide."""

Recorded = dict[tuple[str, int], float]


class Twin(NamedTuple):
    """A run without Ray, and the folder with its notes of samples."""

    run: RunFolder
    notes: Path


def twin_of(
    run: RunFolder, notes: Path, folder: Path, seed: int | None = None, ranks: int = 2
) -> Twin:
    """Train the job of a run, or the same with another seed, on some ranks without Ray.

    notes: those of the run. folder: gets those of the twin, and all the rest.
    """
    name = run.name if seed is None else f"{run.name}-seed-{seed}-of-{ranks}"
    twin = Twin(RunFolder(folder / "undisturbed" / name), folder / f"notes-{name}")
    job = run.job.read().replace(str(notes), str(twin.notes))
    if seed is not None:
        job = re.sub(r"^seed: .*$", f"seed: {seed}", job, flags=re.MULTILINE)
    twin.notes.mkdir()
    twin.run.make()
    twin.run.job.write(job)
    run_ranks(ranks, folder / f"ranks-{name}", partial(train_whole_run, Run(twin.run)))
    return twin


def faults_of_record(
    server: MlflowServer, run: RunFolder, twin: RunFolder, *, same_values: bool = True
) -> list[str]:
    """Return in what MLflow's record of a run is not what its twin has reported, once each.

    same_values: the values have to be the same, too, but for those of the clock; if not, choices
    that follow from the values may be others.
    """
    expected, found = _reported(twin), _in_mlflow(server, run)
    if not same_values:
        expected = {at: v for at, v in expected.items() if not at[0].startswith(BY_THE_BITS)}
    names = {key for key, _ in expected}
    doubled = [key for key in names if len(found[key]) != len({step for step, _ in found[key]})]
    once = {(key, step): value for key in names for step, value in found[key]}
    lacking, more = expected.keys() - once.keys(), once.keys() - expected.keys()
    other = [
        at
        for at in expected.keys() & once.keys()
        if same_values and at[0] not in BY_THE_CLOCK and once[at] != expected[at]
    ]
    places = {"recorded twice": doubled, "lacking": lacking, "unexpected": more, "other": other}
    return [f"{what}: {sorted(at)[:3]} and so on, {len(at)}" for what, at in places.items() if at]


def _reported(run: RunFolder) -> Recorded:
    """Return what a run has written to its journal, by metric and step."""
    lines, _ = Journal(run).unsent()
    return {(key, line.step): value for line in lines for key, value in line.metrics.items()}


def _in_mlflow(server: MlflowServer, run: RunFolder) -> dict[str, list[tuple[int, float]]]:
    """Return what MLflow has of a run: of each metric the steps and values."""
    run_id = run.record.read_json()["run_id"]
    known = server.run(run_id)["data"]["metrics"]
    return {row["key"]: server.series(run_id, row["key"]) for row in known}
