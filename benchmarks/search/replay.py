"""Replay searches on the recorded table: how soon each searcher and scheduler has a good answer.

    python -m benchmarks.search.replay [--replays 50]

The search's own conductor, searchers and schedulers run as ever; only the trainings come from the
table. A trial shows the mean of the table's seeds after each epoch. The answer of a search at any
moment is the best of its finished trials. What counts are the epochs of all trials, in whole
trainings of a setting, until that is within 0.2 Delta_B of the best setting of the table, and, as
two seeds differ by 0.5, until it is within 0.5. Replays differ in the searcher's seed (the grid's
in the order of its axes and levels). The priors say:

- "papers": the papers' values, written in `table.yaml` before the table was recorded;
- "right": the best setting of the table;
- "off": the best one, a step away on every axis of three levels or more;
- "wrong": the worst setting of the table.

The record says what the table is like ("answers": how many settings are so near to the best;
"correlation": of what a setting shows after each epoch with what it is worth) and has, by searcher,
scheduler, number of trials at once and nearness, the median in trainings and the quartiles (null:
no answer before all settings were tried), and how many replays had none.
"""

import argparse
import statistics
from collections.abc import Sequence

from benchmarks.results_file import conditions, keep, positive
from benchmarks.search.record import TABLE, search
from benchmarks.search.simulate import WITHIN, Replay, Variant
from benchmarks.search.table import Place, Table, table_of
from benchmarks.search.trainings import read

SCHEDULERS = ("none", "asha", "median")
AT_ONCE = (1, 4)


def main() -> None:
    """Replay all variants and keep the figures in benchmarks/results."""
    parser = argparse.ArgumentParser(description="How soon searches have a good answer.")
    parser.add_argument("--replays", type=positive, default=50)
    replays = parser.parse_args().replays
    about = conditions(f"python -m benchmarks.search.replay --replays {replays}")
    table = table_of(read(TABLE), search().space)
    trainings = {
        name: {
            scheduler: {
                f"at_once_{groups}": summary(table, variant, scheduler, groups, replays)
                for groups in AT_ONCE
            }
            for scheduler in SCHEDULERS
        }
        for name, variant in variants(table).items()
    }
    keep("search_replay", {**about, **about_table(table), "replays": replays, **trainings})


def about_table(table: Table) -> dict[str, object]:
    """Return what one must know of a table to understand the figures."""
    best = table.value(table.ranked()[0])
    ends = [[one[-1].delta_b for one in seeds] for seeds in table.cells.values()]
    spreads = [max(seeds) - min(seeds) for seeds in ends]
    return {
        "settings": len(table.cells),
        "seeds": table.seeds,
        "best_delta_b": round(best, 2),
        "median_delta_b": round(statistics.median(map(table.value, table.cells)), 2),
        "worst_delta_b": round(table.value(table.ranked()[-1]), 2),
        "answers": {
            within_name(within): sum(table.value(place) >= best - within for place in table.cells)
            for within in WITHIN
        },
        "median_seed_spread": round(statistics.median(spreads), 2),
        "correlation": [correlation(table, epoch) for epoch in range(table.epochs)],
    }


def correlation(table: Table, epoch: int) -> float:
    """Return how well what settings show after an epoch, from 0, tells what they are worth."""
    whole = [place for place in table.cells if table.value(place) > float("-inf")]
    shown = [table.curves[place][epoch].delta_b for place in whole]
    return round(statistics.correlation(shown, [table.value(place) for place in whole]), 2)


def variants(table: Table) -> dict[str, Variant]:
    """Return the searchers by name, with what their priors say."""
    papers = {key: axis.prior.value for key, axis in search().space.items() if axis.prior}
    ranked = table.ranked()
    return {
        "random": Variant("random"),
        "grid": Variant("grid"),
        "optuna_tpe": Variant("optuna"),
        "prior_papers": Variant("prior", table.place(papers)),
        "prior_right": Variant("prior", ranked[0]),
        "prior_off": Variant("prior", a_step_off(ranked[0], table)),
        "prior_wrong": Variant("prior", ranked[-1]),
    }


def a_step_off(place: Place, table: Table) -> Place:
    """Return the place a level up on each axis of three or more; a level down from the top."""
    counts = [len(levels) for levels in table.levels.values()]
    return tuple(
        at if count < 3 else at - 1 if at == count - 1 else at + 1
        for at, count in zip(place, counts, strict=True)
    )


def summary(
    table: Table, variant: Variant, scheduler: str, groups: int, replays: int
) -> dict[str, dict[str, float | None]]:
    """Return the median and the quartiles of some replays, in whole trainings, by nearness."""
    made = [Replay(table, variant, seed).trainings(scheduler, groups) for seed in range(replays)]
    return {within_name(within): spread([one[within] for one in made]) for within in WITHIN}


def spread(trainings: Sequence[float]) -> dict[str, float | None]:
    """Return the median and the quartiles of some numbers, and how many are infinite."""
    found = sorted(trainings)
    quartiles = {
        name: found[min(int(share * len(found)), len(found) - 1)]
        for name, share in (("quartile_1", 0.25), ("quartile_3", 0.75))
    }
    figures = {"median": statistics.median(found), **quartiles}
    shown = {name: round(n, 2) if n < float("inf") else None for name, n in figures.items()}
    return {**shown, "unanswered": sum(n == float("inf") for n in found)}


def within_name(within: float) -> str:
    """Return how a nearness is called in the record."""
    return f"within_{within}"


if __name__ == "__main__":
    main()
