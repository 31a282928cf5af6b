"""Train methods with one budget and several seeds, each in one process, and rank them.

What has ended is a line of a table and is not trained again, so that a recording may be stopped and
called again. The work folder keeps the checkpoints from which direct quantizations start.
"""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from benchmarks.alone import command_line, train_for_table, two_at_a_time
from benchmarks.results_file import RESULTS, conditions
from benchmarks.search.trainings import Training, read
from benchmarks.search.trainings import keep as keep_training
from models.precision import Precision
from orchestrator.job.load import load_job
from orchestrator.job.schema import Job
from orchestrator.store.run_folder import RunFolder

ALONE = "individual"
DIRECT = ("training.epochs=0", "start.from=checkpoint")
"""The settings of a method that starts from the individual run at the first bit-width."""

Top1 = dict[str, list[float]]
"""By bit-width, in percent, one for each seed."""


class Wanted(NamedTuple):
    """A training to make: with a method, or (ALONE) at one bit-width."""

    method: str
    alone: str
    seed: int

    @classmethod
    def of(cls, made: Training) -> "Wanted":
        """Return what a training of the table was made for."""
        return cls(str(made.settings["method"]), made.alone, made.seed)

    @property
    def place(self) -> str:
        """The name of its folder in the work folder."""
        return "_".join(filter(None, (self.method, self.alone, f"seed{self.seed}")))


class Ranking(NamedTuple):
    """What is compared. job: the file of all; its name is that of the table and of the record.

    methods: by name, their own settings, as `--set` takes them. alone: bit-widths to train alone.
    """

    job: Path
    methods: Mapping[str, Sequence[str]]
    alone: Sequence[str] = ()

    @property
    def table(self) -> Path:
        """The trainings that have ended."""
        return RESULTS / f"{self.job.stem}.jsonl"

    def wanted(self, seeds: int) -> list[Wanted]:
        """Return all trainings, in the order in which they are made."""
        each = [*((ALONE, name) for name in self.alone), *((method, "") for method in self.methods)]
        return [Wanted(method, alone, seed) for seed in range(seeds) for method, alone in each]

    def from_run(self, wanted: Wanted) -> bool:
        """Return whether a training starts from an individual run."""
        return DIRECT[-1] in self.methods.get(wanted.method, ())

    def job_of(self, wanted: Wanted, root: Path, work: Path) -> Job:
        """Return the job of a training. root: of the data; work: the work folder."""
        own = self.methods.get(wanted.method, ())
        overrides = [*own, f"seed={wanted.seed}", f"data.root={root}"]
        if self.from_run(wanted):
            source = RunFolder(work / Wanted(ALONE, self.alone[0], wanted.seed).place)
            overrides.append(f"start.weights={source.checkpoints()[-1]}")
        precision = Precision.parse(wanted.alone) if wanted.alone else None
        return load_job(self.job, overrides, individual_at=precision).job


def trainings(
    ranking: Ranking, module: str, about: str
) -> tuple[list[Training], dict[str, object]]:
    """Make what the command line asks for; return it, and what one must know to believe it."""
    given = command_line(ranking.job.stem, about)
    wanted = ranking.wanted(given.seeds)
    made = {Wanted.of(one) for one in read(ranking.table)}
    _record(ranking, [one for one in wanted if one not in made], given.root, given.work)
    found = {Wanted.of(one): one for one in read(ranking.table)}
    asked = [found[one] for one in wanted]
    facts = conditions(f"python -m {module} --root FOLDER --seeds {given.seeds}")
    facts |= {"job": ranking.job.name, "methods": ranking.methods, "seeds": given.seeds}
    return asked, facts | {"cpu_minutes": round(sum(one.cpu_seconds for one in asked) / 60)}


def _record(ranking: Ranking, missing: Sequence[Wanted], root: Path, work: Path) -> None:
    """Make trainings, two at a time, and keep each as it ends.

    Those that start from another one's checkpoint come after all others.
    """
    rounds = (
        [one for one in missing if not ranking.from_run(one)],
        [one for one in missing if ranking.from_run(one)],
    )
    make = partial(_recorded, ranking, root, work)
    for wanted in rounds:
        for one, training in two_at_a_time(make, wanted):
            keep_training(ranking.table, training)
            said = training.failed or training.epochs[-1]
            print(f"{one.place}: {said}, {training.cpu_seconds} s", flush=True)


def _recorded(ranking: Ranking, root: Path, work: Path, wanted: Wanted) -> Training:
    """Make a training."""
    place = work / wanted.place
    shutil.rmtree(place, ignore_errors=True)
    job = ranking.job_of(wanted, root, work)
    return train_for_table(job, place, {"method": wanted.method}, wanted.alone)


def by_method(made: Iterable[Training]) -> dict[str, Top1]:
    """Return what trainings reached in their last epoch, seed by seed."""
    found: dict[str, Top1] = {}
    for one in sorted(made, key=lambda training: training.seed):
        for name, value in one.epochs[-1].items():
            of_method = found.setdefault(str(one.settings["method"]), {})
            of_method.setdefault(name, []).append(round(value, 2))
    return found


def summary(top1: Mapping[str, Top1]) -> dict[str, object]:
    """Return the figures, their means, and their spread (largest less smallest)."""
    return {
        "top1": top1,
        "mean": {m: {b: round(mean(v), 2) for b, v in t.items()} for m, t in top1.items()},
        "spread": {
            m: {b: round(max(v) - min(v), 2) for b, v in t.items()} for m, t in top1.items()
        },
    }
