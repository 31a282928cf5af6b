"""Whether a run in integers reaches what a run in floats reaches: top-1 at each bit-width.

    python -m benchmarks.arithmetic [--seeds 2] quickstart
    python -m benchmarks.arithmetic [--seeds 2] cifar10 --root FOLDER

Trains a job with each `training.arithmetic` and several seeds: the quickstart's, or two epochs of
`jobs/cifar10_r18.yaml` in a small network on all of CIFAR-10, whose root FOLDER is. Each run has
a process and a thread of its own, and is a single worker, without Ray. The record of a job:

- "top1": in percent, by arithmetic and bit-width, one for each seed;  "mean": of the seeds;
- "seed_spread": the largest less the smallest of the seeds;
- "difference": the mean in integers less the mean in floats.
"""

import argparse
from functools import partial
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

from benchmarks import alone
from benchmarks.results_file import REPOSITORY, conditions, keep, positive
from orchestrator.job.load import load_job

ARITHMETICS = ("integer", "float")

OVERRIDES = {
    "quickstart": (),
    "cifar10_r18": (
        "model.name=resnet18",
        "model.widths=[8]",
        "model.depths=[1]",
        "optimizer.schedule=cosine",
        "optimizer.milestones=[]",
        "training.epochs=2",
        "training.global_batch=256",
        "cluster.max_batch_per_worker=256",
    ),
}
"""What is measured of each job, as `--set` takes it: CIFAR-10's is cut down to minutes."""

Top1 = dict[str, list[float]]
"""By bit-width, in percent, one for each seed."""


def main() -> None:
    """Measure and keep the figures in benchmarks/results."""
    parser = argparse.ArgumentParser(description="What runs in integers and in floats reach.")
    parser.add_argument("--seeds", type=positive, default=2)
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("quickstart")
    kinds.add_parser("cifar10").add_argument("--root", type=Path, required=True)
    given = parser.parse_args()
    job, option = "quickstart", ""
    places: tuple[str, ...] = ()
    if given.kind == "cifar10":
        job, option, places = "cifar10_r18", " --root FOLDER", (f"data.root={given.root}",)
    command = f"python -m benchmarks.arithmetic --seeds {given.seeds} {given.kind}{option}"
    about = {**conditions(command), "job": f"{job}.yaml", "overrides": OVERRIDES[job]}
    reached = in_each(job, (*OVERRIDES[job], *places), given.seeds)
    keep(f"arithmetic_{given.kind}", {**about, "seeds": given.seeds, **compared(reached)})


def in_each(job: str, overrides: tuple[str, ...], seeds: int) -> dict[str, Top1]:
    """Train a job with each arithmetic and each seed, two runs at a time."""
    runs = [(kind, seed) for seed in range(seeds) for kind in ARITHMETICS]
    rows = dict(alone.two_at_a_time(partial(train, job, overrides), runs))
    found: dict[str, Top1] = {kind: {} for kind in ARITHMETICS}
    for kind, seed in runs:
        for bits, top1 in rows[kind, seed].items():
            found[kind].setdefault(bits, []).append(top1)
    return found


def train(job: str, overrides: tuple[str, ...], run: tuple[str, int]) -> dict[str, float]:
    """Train a job from start to end; return its top-1 at each bit-width, in percent.

    run: the arithmetic, and the seed.
    """
    arithmetic, seed = run
    own = (*overrides, f"training.arithmetic={arithmetic}", f"seed={seed}")
    loaded = load_job(REPOSITORY / "jobs" / f"{job}.yaml", own).job
    with TemporaryDirectory() as place:
        epochs, failed = alone.train(loaded, Path(place))
    if failed:
        raise SystemExit(failed)
    print(f"{job}, {arithmetic}, seed {seed}: {epochs[-1]}", flush=True)
    return epochs[-1]


def compared(reached: dict[str, Top1]) -> dict[str, object]:
    """Return the figures of runs, their means and spreads, and how far the arithmetics differ."""
    means = {
        kind: {bits: round(mean(seeds), 3) for bits, seeds in top1.items()}
        for kind, top1 in reached.items()
    }
    spreads = {
        kind: {bits: round(max(seeds) - min(seeds), 3) for bits, seeds in top1.items()}
        for kind, top1 in reached.items()
    }
    in_integers, in_floats = (means[kind] for kind in ARITHMETICS)
    difference = {bits: round(in_integers[bits] - in_floats[bits], 3) for bits in in_integers}
    return {"top1": reached, "mean": means, "seed_spread": spreads, "difference": difference}


if __name__ == "__main__":
    main()
