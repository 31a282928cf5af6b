"""Which method reaches what at each bit-width, all with the same budget, on real images.

    python -m benchmarks.method_ranking --root FOLDER [--work FOLDER] [--seeds 2]

Trains `method_ranking.yaml` on CIFAR-10, whose root the first FOLDER is: with every method below,
and at each bit-width alone, with each seed. A training is one worker in one thread, without Ray;
two are made at a time. The record in `benchmarks/results/method_ranking.json` has for each method:

- "top1": in percent, by bit-width, one for each seed;  "mean", "spread" (largest less smallest);
- "delta_b": of each seed against its own individual runs, in percent.
"""

from collections.abc import Iterable
from pathlib import Path

from benchmarks.ranking import ALONE, DIRECT, Ranking, Top1, by_method, summary, trainings
from benchmarks.results_file import keep
from benchmarks.search.trainings import Training
from orchestrator.track.delta_b import delta_b

BIT_WIDTHS = ("8bit", "6bit", "4bit", "2bit")
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
RANKING = Ranking(Path(__file__).with_suffix(".yaml"), METHODS, BIT_WIDTHS)


def main() -> None:
    """Make the trainings that are not in the table yet, and keep the figures."""
    made, about = trainings(
        RANKING, "benchmarks.method_ranking", "Which method reaches what at each bit-width."
    )
    keep(RANKING.job.stem, {**about, **ranked(made)})


def ranked(made: Iterable[Training]) -> dict[str, object]:
    """Return the figures of each method; `made` holds the individual runs too."""
    top1 = by_method(made)
    alone = top1[ALONE]
    return {**summary(top1), "delta_b": {m: _delta_b(t, alone) for m, t in top1.items()}}


def _delta_b(top1: Top1, alone: Top1) -> list[float]:
    seeds = range(len(alone[BIT_WIDTHS[0]]))
    return [
        round(delta_b(*({b: v[seed] for b, v in t.items()} for t in (top1, alone))), 2)
        for seed in seeds
    ]


if __name__ == "__main__":
    main()
