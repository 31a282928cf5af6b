"""Successive halving by Ray Tune, against the paper's rule written out."""

import random

import pytest

from orchestrator.job.search import Asha as Section
from orchestrator.search.tune import Asha


def halving(values: list[dict[int, float]], factor: int) -> list[int]:
    """Return the rung at which each trial is stopped, one after the other; 0 if it is not.

    A trial goes on while it is at least the (1 - 1/factor) quantile of those before it, linearly
    interpolated between them (Li et al. 2020, but asynchronous as Tune does it).
    """
    before: dict[int, list[float]] = {}
    stopped = []
    for rungs in values:
        stopped.append(0)
        for rung, value in sorted(rungs.items()):
            known = sorted(before.setdefault(rung, []))
            before[rung].append(value)
            if known and value < _quantile(known, 1 - 1 / factor):
                stopped[-1] = rung
                break
    return stopped


def _quantile(known: list[float], share: float) -> float:
    place = share * (len(known) - 1)
    below = int(place)
    above = min(below + 1, len(known) - 1)
    return known[below] + (place - below) * (known[above] - known[below])


@pytest.mark.parametrize(("factor", "rungs"), [(2, [1, 2, 4, 8]), (3, [1, 3]), (4, [1, 4])])
def test_trials_are_stopped_at_the_rungs_that_the_rule_names(factor: int, rungs: list[int]) -> None:
    chance = random.Random(factor)
    values = [{rung: chance.gauss(80, 5) for rung in rungs} for _ in range(60)]
    asha = Asha(Section(name="asha", grace=1, factor=factor), epochs=9, direction="max")
    assert list(asha.rungs) == rungs
    found = []
    for number, own in enumerate(values):
        verdicts = ((rung, asha.verdict(f"t{number}", rung, value)) for rung, value in own.items())
        found.append(next((rung for rung, why in verdicts if why), 0))
    assert found == halving(values, factor)
    assert len(set(found)) > 2
