"""What Bit-Mixer's transitional batch norm and its search for sub-nets are worth, on real images.

    python -m benchmarks.bit_mixer --root FOLDER [--work FOLDER] [--seeds 2]

Trains `bit_mixer.yaml` in its three stages on CIFAR-10, whose root the first FOLDER is, with
transitional batch norm and with one set for each bit-width, and searches the sub-nets of 3 bits
on average in the first. A run that has ended in the work folder is not trained again. The record,
one figure for each seed:

- "top1": in percent, by batch norm, at each bit-width, and "random": each layer's bit-width drawn
  for each batch, the mean of three passes over the images;
- "best", "drawn": mean top-1 of the 20 best sub-nets by sensitivity, and of 20 random ones with as
  many bits, on all test images;  "best_loss", "drawn_loss": their mean loss;  "winner": the top-1
  of the best of the first;  "lucky": of the best of the second.
"""

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import fmean

from benchmarks.alone import command_line, train, two_at_a_time
from benchmarks.results_file import conditions, keep
from orchestrator.job.load import load_job
from orchestrator.store.run_folder import RunFolder
from orchestrator.subnet.search import Asked, Subnet, find_subnets

JOB = Path(__file__).with_suffix(".yaml")
NORMS = {"transitional": (), "own_bit_width": ("method.transitional=false",)}
SEARCH = Asked(average_bits=3, top=20, images=1000)
TEST_IMAGES = 10_000

Measured = dict[str, dict[str, float]]
"""Of one run: "top1" by point, and "subnets" if they were searched."""


def main() -> None:
    """Measure and keep the figures in benchmarks/results."""
    given = command_line(JOB.stem, "Bit-Mixer's batch norm, and its sub-nets.")
    about = conditions(f"python -m benchmarks.bit_mixer --root FOLDER --seeds {given.seeds}")
    about |= {"job": JOB.name, "seeds": given.seeds, "average_bits": SEARCH.average_bits}
    runs = [(norm, seed) for seed in range(given.seeds) for norm in NORMS]
    measured = dict(two_at_a_time(partial(measure, given.root, given.work), runs))
    keep(JOB.stem, {**about, **collected(measured, given.seeds)})


def measure(root: Path, work: Path, run: tuple[str, int]) -> Measured:
    """Train with a kind of batch norm and a seed, and search sub-nets if it is transitional."""
    norm, seed = run
    settings = [*NORMS[norm], f"seed={seed}", f"data.root={root}"]
    place = work / f"{norm}_seed{seed}"
    folder = RunFolder(place)
    if not folder.result.exists():
        shutil.rmtree(place, ignore_errors=True)
        if failed := train(load_job(JOB, settings).job, place).failed:
            raise SystemExit(failed)
    rows = folder.result.read_json()["rows"]
    measured: Measured = {"top1": {row["point"]: row["metric"] for row in rows}}
    print(f"{norm}, seed {seed}: {measured['top1']}", flush=True)
    if norm == "transitional":
        whole = load_job(JOB, [*settings, f"data.limit_val={TEST_IMAGES}"]).job
        found = find_subnets(whole, folder, SEARCH, lambda *_: None)
        measured["subnets"] = judged(found.of("best"), found.of("random"))
        print(f"{norm}, seed {seed}: {measured['subnets']}", flush=True)
    return measured


def judged(best: Sequence[Subnet], drawn: Sequence[Subnet]) -> dict[str, float]:
    """Return the figures of the best sub-nets by sensitivity, and of random ones."""
    return {
        "best": fmean(one.metric for one in best),
        "drawn": fmean(one.metric for one in drawn),
        "best_loss": fmean(one.loss for one in best),
        "drawn_loss": fmean(one.loss for one in drawn),
        "winner": max(one.metric for one in best),
        "lucky": max(one.metric for one in drawn),
    }


def collected(measured: dict[tuple[str, int], Measured], seeds: int) -> dict[str, object]:
    """Return the figures of runs, seed by seed."""

    def each(norm: str, part: str) -> dict[str, list[float]]:
        names = measured[norm, 0][part]
        return {
            name: [round(measured[norm, seed][part][name], 4) for seed in range(seeds)]
            for name in names
        }

    return {
        "top1": {norm: each(norm, "top1") for norm in NORMS},
        "subnets": each("transitional", "subnets"),
    }


if __name__ == "__main__":
    main()
