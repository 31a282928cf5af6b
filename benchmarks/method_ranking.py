"""Which method reaches what at each bit-width, all with the same budget, on real images.

    python -m benchmarks.method_ranking --root FOLDER [--work FOLDER] [--seeds 2]

Trains `method_ranking.yaml` on CIFAR-10, whose root the first FOLDER is: with every method below,
and at each bit-width alone, with each seed. A training is one worker in one thread, without Ray;
two are made at a time. What has ended is a line of `benchmarks/results/method_ranking.jsonl`
and is not trained again, so that the recording may be stopped and called again. The work folder
keeps the checkpoints from which the direct quantizations start. When all is there, the
record in `benchmarks/results/method_ranking.json` has for each method:

- "top1": in percent, by bit-width, one for each seed;  "mean", "spread" (largest less smallest);
- "delta_b": of each seed against its own individual runs, in percent.
"""

import argparse
import shutil
import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from benchmarks.alone import train, two_at_a_time
from benchmarks.results_file import REPOSITORY, RESULTS, conditions, keep, positive
from benchmarks.search.trainings import Training, read
from benchmarks.search.trainings import keep as keep_training
from models.precision import Precision
from orchestrator.job.load import load_job
from orchestrator.job.schema import Job
from orchestrator.store.run_folder import RunFolder
from orchestrator.track.delta_b import delta_b

JOB = Path(__file__).with_suffix(".yaml")
TABLE = RESULTS / "method_ranking.jsonl"
BIT_WIDTHS = ("8bit", "6bit", "4bit", "2bit")
ALONE = "individual"

DIRECT = ("training.epochs=0", "start.from=checkpoint")
METHODS: dict[str, tuple[str, ...]] = {
    "coquant": (),
    "adabits": ("method={name: adabits}",),
    "switchable_bn": ("method={name: switchable_bn}",),
    "joint": ("method={name: joint}",),
    "any_precision": ("method={name: any_precision}",),
    "double_rounding": (
        "method={name: adabits}",
        "quantizer.weights={name: double_rounding}",
        # At the rate of the weights, 0.1, the steps diverge in the first epoch.
        "optimizer.step={lr: 1e-3, weight_decay: 0}",
    ),
    "direct": ("method={name: direct}", *DIRECT),
    "direct_calibrated": ("method={name: direct, calibrate: true}", *DIRECT),
}
"""The methods that are trained, and their own settings, as `--set` takes them."""


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


def main() -> None:
    """Make the trainings that are not in the table yet, and keep the figures."""
    parser = argparse.ArgumentParser(description="Which method reaches what at each bit-width.")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=REPOSITORY / "runs" / JOB.stem)
    parser.add_argument("--seeds", type=positive, default=2)
    given = parser.parse_args()
    wanted = all_wanted(given.seeds)
    made = [Wanted.of(one) for one in read(TABLE)]
    record([one for one in wanted if one not in made], given.root, given.work)
    found = {Wanted.of(one): one for one in read(TABLE)}
    trainings = [found[one] for one in wanted]
    about = conditions(f"python -m benchmarks.method_ranking --root FOLDER --seeds {given.seeds}")
    about |= {"job": JOB.name, "methods": METHODS, "seeds": given.seeds}
    about["cpu_minutes"] = round(sum(one.cpu_seconds for one in trainings) / 60)
    keep(JOB.stem, {**about, **ranked(trainings)})


def all_wanted(seeds: int) -> list[Wanted]:
    """Return all trainings, in the order in which they are made."""
    return [
        Wanted(method, alone, seed)
        for seed in range(seeds)
        for method, alone in (
            *((ALONE, name) for name in BIT_WIDTHS),
            *((method, "") for method in METHODS),
        )
    ]


def record(missing: Sequence[Wanted], root: Path, work: Path) -> None:
    """Make trainings, two at a time, and keep each as it ends.

    Those that start from another one's checkpoint come after all others.
    """
    rounds = (
        [one for one in missing if not from_run(one)],
        [one for one in missing if from_run(one)],
    )
    for wanted in rounds:
        for one, training in two_at_a_time(partial(recorded, root=root, work=work), wanted):
            keep_training(TABLE, training)
            said = training.failed or training.epochs[-1]
            print(f"{one.place}: {said}, {training.cpu_seconds} s", flush=True)


def recorded(wanted: Wanted, root: Path, work: Path) -> Training:
    """Make a training; one that fails keeps the epochs before."""
    about = conditions("")
    began = time.process_time()
    place = work / wanted.place
    shutil.rmtree(place, ignore_errors=True)
    epochs, failed = train(job_of(wanted, root, work), place)
    return Training(
        settings={"method": wanted.method},
        alone=wanted.alone,
        seed=wanted.seed,
        epochs=epochs,
        failed=failed,
        cpu_seconds=round(time.process_time() - began, 1),
        date=str(about["date"]),
        load=float(str(about["load"])),
        commit=str(about["commit"]),
    )


def job_of(wanted: Wanted, root: Path, work: Path) -> Job:
    """Return the job of a training. root: of the data; work: the work folder."""
    own = METHODS.get(wanted.method, ())
    overrides = [*own, f"seed={wanted.seed}", f"data.root={root}"]
    if from_run(wanted):
        source = RunFolder(work / Wanted(ALONE, BIT_WIDTHS[0], wanted.seed).place)
        overrides.append(f"start.weights={source.checkpoints()[-1]}")
    precision = Precision.parse(wanted.alone) if wanted.alone else None
    return load_job(JOB, overrides, individual_at=precision).job


def from_run(wanted: Wanted) -> bool:
    """Return whether a training starts from the individual run at the highest bit-width."""
    return DIRECT[-1] in METHODS.get(wanted.method, ())


Top1 = dict[str, list[float]]
"""By bit-width, in percent, one for each seed."""


def ranked(trainings: Sequence[Training]) -> dict[str, object]:
    """Return the figures of each method; `trainings` holds the individual runs too."""
    alone = _by_bit_width(one for one in trainings if one.alone)
    top1 = {ALONE: alone} | {
        method: _by_bit_width(one for one in trainings if one.settings["method"] == method)
        for method in METHODS
    }
    return {
        "top1": top1,
        "mean": {m: {b: round(mean(v), 2) for b, v in t.items()} for m, t in top1.items()},
        "spread": {
            m: {b: round(max(v) - min(v), 2) for b, v in t.items()} for m, t in top1.items()
        },
        "delta_b": {m: _delta_b(t, alone) for m, t in top1.items()},
    }


def _by_bit_width(trainings: Iterable[Training]) -> Top1:
    """Return what trainings reached in their last epoch, seed by seed."""
    found: Top1 = {}
    for one in sorted(trainings, key=lambda training: training.seed):
        for name, value in one.epochs[-1].items():
            found.setdefault(name, []).append(round(value, 2))
    return found


def _delta_b(top1: Top1, alone: Top1) -> list[float]:
    seeds = range(len(alone[BIT_WIDTHS[0]]))
    return [
        round(delta_b(*({b: v[seed] for b, v in t.items()} for t in (top1, alone))), 2)
        for seed in seeds
    ]


if __name__ == "__main__":
    main()
