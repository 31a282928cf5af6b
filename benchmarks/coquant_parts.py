"""What CoQuant's teachers and swaps add to AdaBits at each bit-width, on real images.

    python -m benchmarks.coquant_parts --root FOLDER [--work FOLDER] [--seeds 4]

Trains `coquant_parts.yaml` on CIFAR-10, whose root the first FOLDER is, in a network of five blocks
and with a p1 that lets blocks be swapped: CoQuant whole, without swaps, and AdaBits, which has
neither. The record in `benchmarks/results/coquant_parts.json` has for each:

- "top1": in percent, by bit-width, one for each seed;  "mean", "spread" (largest less smallest);
- "gain": over AdaBits with the same seed, the mean;  "error": the standard error of that mean.
"""

from collections.abc import Iterable
from math import sqrt
from pathlib import Path
from statistics import mean, stdev

from benchmarks.ranking import Ranking, by_method, summary, trainings
from benchmarks.results_file import keep
from benchmarks.search.trainings import Training

PLAIN = "adabits"
RANKING = Ranking(
    Path(__file__).with_suffix(".yaml"),
    {PLAIN: ("method={name: adabits}",), "coquant": (), "coquant_no_swap": ("method.p1=1",)},
)


def main() -> None:
    """Make the trainings that are not in the table yet, and keep the figures."""
    made, about = trainings(
        RANKING, "benchmarks.coquant_parts", "What CoQuant's teachers and swaps add to AdaBits."
    )
    keep(RANKING.job.stem, {**about, **compared(made)})


def compared(made: Iterable[Training]) -> dict[str, object]:
    """Return the figures of each, and what it gains over AdaBits, in points; of 2 seeds or more."""
    top1 = by_method(made)
    plain = top1.pop(PLAIN)
    gains = {
        method: {
            b: [own - other for own, other in zip(v, plain[b], strict=True)] for b, v in t.items()
        }
        for method, t in top1.items()
    }
    return {
        **summary({PLAIN: plain, **top1}),
        "gain": {m: {b: round(mean(v), 2) for b, v in t.items()} for m, t in gains.items()},
        "error": {
            m: {b: round(stdev(v) / sqrt(len(v)), 2) for b, v in t.items()}
            for m, t in gains.items()
        },
    }


if __name__ == "__main__":
    main()
