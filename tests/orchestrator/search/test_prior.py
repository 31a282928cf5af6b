"""What the searcher with priors does besides what every searcher must."""

import math
import random
from collections import Counter
from typing import Any

import pytest

from orchestrator.job.search import Search
from orchestrator.job.space import Settings
from orchestrator.search import prior
from orchestrator.search.belief import Around
from orchestrator.search.records import TrialState
from orchestrator.search.searchers import Searcher, searcher_of
from orchestrator.search.space import Space
from orchestrator.search.trial import Trial, trial_name

AXES: dict[str, Any] = {
    "lambda": {"loguniform": [1e-4, 1.0], "prior": {"value": 1e-3, "width": 2}},
    "alpha": {"choice": [2, 4, 8], "prior": {"value": 8, "width": 0.2}},
    "p1": {"uniform": [0, 1]},
}


def made(seed: int = 0, exploration: float = 0.5, direction: str = "max") -> Searcher:
    section = {"name": "prior", "exploration": exploration}
    search = Search(space=AXES, trials=50, direction=direction, searcher=section)  # type: ignore[arg-type]
    return searcher_of(search, Space(search.space, {}), seed)


def ended(number: int, settings: Settings, value: float, epoch: int = 9) -> Trial:
    state = TrialState.FINISHED
    return Trial(trial_name(number), settings, "near", state, value=value, epoch=epoch)


def proposed(searcher: Searcher, history: list[Trial], count: int = 200) -> list[Settings]:
    found = [searcher.suggest(number, history) for number in range(50, 50 + count)]
    return [proposal.settings for proposal in found if proposal]


def test_the_first_trial_has_the_values_of_the_priors() -> None:
    first = made().suggest(0, ())
    assert first is not None
    assert first.origin == "prior"
    assert (first.settings["lambda"], first.settings["alpha"]) == (pytest.approx(1e-3), 8)
    other = made(seed=1).suggest(0, ())
    assert other is not None
    assert other.settings["p1"] != first.settings["p1"]


def test_exploration_is_the_share_that_comes_from_anywhere() -> None:
    for share in (0.0, 0.3, 1.0):
        searcher = made(exploration=share)
        origins = Counter(searcher.suggest(n, ()).origin for n in range(1, 301))  # type: ignore[union-attr]
        assert origins["anywhere"] / 300 == pytest.approx(share, abs=0.08)
        assert sum(origins.values()) == origins["near"] + origins["anywhere"]


def test_without_a_history_most_proposals_are_near_the_priors() -> None:
    near = proposed(made(exploration=0), [])
    assert sum(1 / 4 < one["lambda"] / 1e-3 < 4 for one in near) > 130
    assert sum(one["alpha"] == 8 for one in near) > 130
    anywhere = proposed(made(exploration=1), [])
    assert sum(1 / 4 < one["lambda"] / 1e-3 < 4 for one in anywhere) < 80


@pytest.mark.parametrize("direction", ["max", "min"])
def test_proposals_move_to_where_trials_are_good(direction: str) -> None:
    sign = 1 if direction == "max" else -1
    history = []
    for number in range(30):
        power = -4 * number / 29
        settings = {"lambda": 10**power, "alpha": (2, 4, 8)[number % 3], "p1": number % 7 / 7}
        history.append(ended(number, settings, sign * -abs(power + 0.5)))
    found = [math.log10(one["lambda"]) for one in proposed(made(0, 0, direction), history)]
    assert sum(-1.5 < power < 0 for power in found) > 150


def test_a_prior_where_trials_fail_loses_its_pull() -> None:
    at_prior = [
        ended(n, {"lambda": 1e-3 * 1.1**n, "alpha": 8, "p1": n / 10}, 10 + n) for n in range(10)
    ]
    elsewhere = [
        ended(n, {"lambda": 0.3 * 1.1 ** (n - 10), "alpha": 2, "p1": (n - 10) / 10}, 90 + n)
        for n in range(10, 20)
    ]
    found = proposed(made(0, 0), at_prior + elsewhere)
    assert sum(one["lambda"] > 0.03 for one in found) > 150


def test_trials_that_went_on_longer_count_as_better_and_living_ones_as_bad() -> None:
    stopped = [ended(n, {"lambda": 0.5, "alpha": 2, "p1": 0.9}, 99.0, epoch=1) for n in range(7)]
    far = [ended(n, {"lambda": 1e-3, "alpha": 8, "p1": 0.1}, 90.0) for n in range(7, 10)]
    living = [Trial(trial_name(n), {"lambda": 0.5, "alpha": 2, "p1": 0.9}) for n in range(10, 13)]
    found = proposed(made(0, 0), stopped + far + living)
    assert sum(one["p1"] < 0.5 for one in found) > 150


def test_the_gaussians_of_trials_are_products_over_the_axes_that_both_have() -> None:
    trials = [{"a": 0.2, "b": 0.9}, {"a": 0.5}, {"b": 0.4}]
    clouds = [{key: Around(unit, 0.2) for key, unit in places.items()} for places in trials]
    bells = [
        prior._Bell({}, 0.2, cloud, tuple((k, one.center, one.height) for k, one in cloud.items()))
        for cloud in clouds
    ]
    for units in ({"a": 0.3, "b": 0.7}, {"a": 0.1}, {"c": 0.1}):
        expected = sum(
            math.prod(cloud[key].at(unit) for key, unit in units.items() if key in cloud)
            for cloud in clouds
        )
        assert prior._sum_at(units, bells, 0.2) == pytest.approx(expected)


def test_each_trial_is_placed_once_however_many_are_proposed_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    placed, units = [0], Space.units

    def counted(space: Space, settings: Settings) -> dict[str, float]:
        placed[0] += 1
        return units(space, settings)

    monkeypatch.setattr(Space, "units", counted)
    chance = random.Random(2)
    history = [
        ended(n, {"lambda": 10 ** chance.uniform(-4, 0), "alpha": 2, "p1": chance.random()}, n)
        for n in range(150)
    ]
    searcher = made(exploration=0)
    for number in range(150, 170):
        searcher.suggest(number, history)
    assert placed[0] == 150 + 20 * prior.CANDIDATES
