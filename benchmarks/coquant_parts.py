"""What CoQuant's teachers and swaps add to AdaBits at each bit-width, on real images.

    python -m benchmarks.coquant_parts --root FOLDER [--work FOLDER] [--seeds 4]

Trains `coquant_parts.yaml` on CIFAR-10, whose root the first FOLDER is, in a network of five blocks
and with a p1 that lets blocks be swapped: CoQuant whole, without swaps, and AdaBits, which has
neither. The record in `benchmarks/results/coquant_parts.json` has for each:

- "top1": in percent, by bit-width, one for each seed;  "mean", "spread" (largest less smallest);
- "gain": over AdaBits with the same seed, the mean;  "error": the standard error of that mean;
- "gap": how far the lowest bit-width is behind the highest of the same network, one for each seed;
- "closer": how much less that is than AdaBits' with the same seed, the mean;  "closer_error": its
  standard error. What a whole run has reached by chance, all its bit-widths share; it is not in it.
"""

from collections.abc import Iterable, Sequence
from math import sqrt
from pathlib import Path
from statistics import mean, stdev

from benchmarks.ranking import Ranking, by_method, summary, trainings
from benchmarks.results_file import keep
from benchmarks.search.trainings import Training

PLAIN = "adabits"
HIGHEST, LOWEST = "8bit", "2bit"
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
    plain = top1[PLAIN]
    gap = {method: _less(t[HIGHEST], t[LOWEST]) for method, t in top1.items()}
    others = [method for method in top1 if method != PLAIN]
    gains = {m: {b: _less(v, plain[b]) for b, v in top1[m].items()} for m in others}
    closer = {method: _less(gap[PLAIN], gap[method]) for method in others}
    return {
        **summary(top1),
        "gain": {m: {b: round(mean(v), 2) for b, v in t.items()} for m, t in gains.items()},
        "error": {m: {b: _error(v) for b, v in t.items()} for m, t in gains.items()},
        "gap": gap,
        "closer": {m: round(mean(v), 2) for m, v in closer.items()},
        "closer_error": {m: _error(v) for m, v in closer.items()},
    }


def _less(of: Sequence[float], other: Sequence[float]) -> list[float]:
    """Return the differences, seed by seed."""
    return [round(one - less, 2) for one, less in zip(of, other, strict=True)]


def _error(values: Sequence[float]) -> float:
    """Return the standard error of a mean."""
    return round(stdev(values) / sqrt(len(values)), 2)


if __name__ == "__main__":
    main()
