"""Few bits and many channels against more bits and fewer channels, at one size (OneWeight).

    python -m benchmarks.one_weight --root FOLDER [--work FOLDER] [--seeds 2]

Trains `one_weight.yaml` on CIFAR-100, whose root the first FOLDER is (a subset will do): with
4-bit weights at half the width, and with 1-bit ones at the width that gives the same C_size, both
with 4-bit activations, each with every seed. The record, by bit-width of the weights:

- "width": the multiplier;  "c_size": in bits, of all weights, first and last layer at 8 bits;
- "top1": in percent, one for each seed;  "mean", "spread" (largest less smallest).
"""

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from statistics import fmean

from benchmarks.alone import command_line, train, two_at_a_time
from benchmarks.results_file import conditions, keep
from models.complexity import anatomy_of, width_for
from models.precision import OperatingPoint
from orchestrator.job.load import load_job
from orchestrator.job.schema import Job

JOB = Path(__file__).with_suffix(".yaml")
WEIGHTS = (4, 1)
CLASSES, IMAGE_SIZE = 100, 32


def main() -> None:
    """Measure and keep the figures in benchmarks/results."""
    given = command_line(JOB.stem, "Bits against channels at one size.")
    about = conditions(f"python -m benchmarks.one_weight --root FOLDER --seeds {given.seeds}")
    runs = [(bits, seed) for seed in range(given.seeds) for bits in WEIGHTS]
    widths = widths_of_one_size()
    reached = dict(two_at_a_time(partial(measure, given.root, given.work, widths), runs))
    sizes = {
        f"{bits}bit": size_of(job_of(bits, width, given.root, 0)) for bits, width in widths.items()
    }
    top1 = {
        f"{bits}bit": [round(reached[bits, seed], 2) for seed in range(given.seeds)]
        for bits in WEIGHTS
    }
    figures = {
        "width": {name: width for name, (width, _) in sizes.items()},
        "c_size": {name: c_size for name, (_, c_size) in sizes.items()},
        "top1": top1,
        "mean": {name: round(fmean(seeds), 2) for name, seeds in top1.items()},
        "spread": {name: round(max(seeds) - min(seeds), 2) for name, seeds in top1.items()},
    }
    keep(JOB.stem, {**about, "job": JOB.name, "seeds": given.seeds, **figures})


def measure(root: Path, work: Path, widths: Mapping[int, float], run: tuple[int, int]) -> float:
    """Train at a bit-width with a seed; return the last epoch's top-1 in percent.

    widths: the multiplier at each bit-width.
    """
    bits, seed = run
    place = work / f"{bits}bit_seed{seed}"
    shutil.rmtree(place, ignore_errors=True)
    epochs, failed = train(job_of(bits, widths[bits], root, seed), place)
    if failed:
        raise SystemExit(failed)
    (top1,) = epochs[-1].values()
    print(f"{bits} bits, seed {seed}: {top1:.2f}", flush=True)
    return top1


def widths_of_one_size() -> dict[int, float]:
    """Return the multiplier at each bit-width of the weights; the first is the job's own.

    With the others networks are as large as with the first.
    """
    narrow = load_job(JOB).job
    own, size = size_of(narrow)
    first, *others = WEIGHTS
    points = {bits: OperatingPoint.at(f"w{bits}a4") for bits in others}
    return {first: own} | {
        bits: width_for(size, narrow.model, CLASSES, point) for bits, point in points.items()
    }


def job_of(bits: int, width: float, root: Path, seed: int) -> Job:
    """Return the job at a bit-width of the weights and a width multiplier."""
    own = [f"quantizer.bit_widths=[w{bits}a4]", f"model.width={width}"]
    return load_job(JOB, [f"seed={seed}", f"data.root={root}", *own]).job


def size_of(job: Job) -> tuple[float, int]:
    """Return the width multiplier and C_size of a job's network."""
    anatomy = anatomy_of(job.model, CLASSES, IMAGE_SIZE)
    return job.model.width, anatomy.at(job.points[0]).c_size


if __name__ == "__main__":
    main()
