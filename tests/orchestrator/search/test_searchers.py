"""What every searcher must do, and what random, grid and crossed ones do besides."""

import random
from collections import Counter
from typing import Any

import pytest

from orchestrator.job.search import Search
from orchestrator.job.space import Axis
from orchestrator.search.records import TrialState
from orchestrator.search.searchers import SEARCHERS, Searcher, searcher_of
from orchestrator.search.space import Space
from orchestrator.search.trial import Trial, trial_name

SPACES: dict[str, dict[str, Any]] = {
    "numbers": {
        "method.lambda": {"loguniform": [1e-5, 1.0], "prior": {"value": 1e-3, "width": 10}},
        "method.p1": {"uniform": [0.3, 0.95], "step": 0.05, "prior": {"value": 0.7, "width": 0.15}},
        "a.init": {"choice": [2, 4, 8], "prior": {"value": 8, "width": 0.3}},
    },
    "conditions": {
        "method.name": {"choice": ["adabits", "coquant"]},
        "method.lambda": {"loguniform": [1e-5, 1.0], "when": {"method.name": "coquant"}},
        "other": {"uniform": [0, 1], "when": {"fixed.key": "that it has not"}},
    },
    "a grid": {"method.p1": {"uniform": [0, 1]}, "method.lambda": {"grid": [0, 1, 2]}},
    "listed": {"a": {"choice": [1, 2, 3]}, "b": {"choice": ["x", "y"]}},
}
STATES = list(TrialState)


def made(name: str, axes: dict[str, Any], seed: int = 5) -> tuple[Searcher, Space]:
    search = Search(space=axes, trials=50, searcher={"name": name})  # type: ignore[arg-type]
    space = Space(search.space, {"fixed.key": "another"})
    return searcher_of(search, space, seed), space


def lived(searcher: Searcher, trials: int) -> list[Trial]:
    """Return a history in which trials are in all states, and many have no value."""
    history: list[Trial] = []
    chance = random.Random(1)
    while len(history) < trials:
        proposal = searcher.suggest(len(history), tuple(history))
        if proposal is None:
            break
        state = STATES[len(history) % len(STATES)]
        value = None if state in (TrialState.PLANNED, TrialState.FAILED) else chance.gauss(90, 5)
        epoch = 0 if value is None else chance.randint(1, 9)
        name = trial_name(len(history))
        history.append(Trial(name, *proposal, state=state, value=value, epoch=epoch))
    return history


CASES = [
    (name, space) for name in SEARCHERS for space in SPACES if name != "grid" or space == "listed"
]


@pytest.mark.parametrize(("name", "axes"), CASES)
def test_every_setting_is_one_that_the_space_has(name: str, axes: str) -> None:
    searcher, space = made(name, SPACES[axes])
    history = lived(searcher, 30)
    assert len(history) in (6, 30)
    for trial in history:
        seen: dict[str, Any] = dict(space.fixed)
        for key, axis in space.axes.items():
            assert (key in trial.settings) == axis.exists(seen), trial
            seen |= {key: trial.settings[key]} if key in trial.settings else {}
        for key, value in trial.settings.items():
            again = space.axes[key].value(space.axes[key].unit(value))
            assert again == pytest.approx(value)
            assert type(again) is type(value)


@pytest.mark.parametrize(("name", "axes"), CASES)
def test_a_suggestion_depends_on_seed_number_and_history_alone(name: str, axes: str) -> None:
    searcher, _ = made(name, SPACES[axes])
    history = lived(searcher, 20)
    for number in reversed(range(len(history))):
        fresh, _ = made(name, SPACES[axes])
        found = fresh.suggest(number, tuple(history[:number]))
        assert found is not None
        assert found.settings == history[number].settings
        assert found.origin == history[number].origin != ""


@pytest.mark.parametrize("name", SEARCHERS)
def test_a_listed_space_is_tried_without_repeats_until_its_end(name: str) -> None:
    searcher, _ = made(name, SPACES["listed"])
    tried = [tuple(trial.settings.values()) for trial in lived(searcher, 30)]
    assert sorted(tried) == [(a, b) for a in (1, 2, 3) for b in ("x", "y")]


@pytest.mark.parametrize("name", [name for name in SEARCHERS if name != "grid"])
def test_another_seed_gives_other_settings(name: str) -> None:
    first = lived(made(name, SPACES["numbers"], seed=1)[0], 12)
    second = lived(made(name, SPACES["numbers"], seed=2)[0], 12)
    assert [trial.settings for trial in first] != [trial.settings for trial in second]


@pytest.mark.parametrize("name", [name for name in SEARCHERS if name != "grid"])
def test_trials_take_the_cells_of_a_grid_in_turn(name: str) -> None:
    searcher, _ = made(name, SPACES["a grid"])
    assert [t.settings["method.lambda"] for t in lived(searcher, 9)] == [0, 1, 2] * 3


def test_random_settings_cover_every_axis_evenly() -> None:
    searcher, _ = made("random", SPACES["numbers"])
    history = lived(searcher, 600)
    decades = Counter(int(f"{trial.settings['method.lambda']:e}"[-3:]) for trial in history)
    assert all(90 < decades[power] < 150 for power in range(-5, 0))
    assert all(160 < n < 240 for n in Counter(t.settings["a.init"] for t in history).values())


def test_random_settings_of_a_cell_are_those_of_every_other_cell() -> None:
    history = lived(made("random", SPACES["a grid"])[0], 12)
    drawn = [trial.settings["method.p1"] for trial in history]
    assert drawn[0::3] == drawn[1::3] == drawn[2::3]
    assert len(set(drawn)) == 4


def test_a_grid_is_tried_in_its_order() -> None:
    axes = {"a": {"grid": [1, 2]}, "b": {"choice": ["x", "y"]}}
    history = lived(made("grid", axes)[0], 30)
    assert [tuple(t.settings.values()) for t in history] == [(1, "x"), (1, "y"), (2, "x"), (2, "y")]


def test_a_cell_that_is_exhausted_leaves_its_turn_to_the_next() -> None:
    axes = {
        "g": {"grid": ["few", "many"]},
        "c": {"choice": [1, 2, 3], "when": {"g": "many"}},
    }
    history = lived(made("random", axes)[0], 30)
    assert Counter(trial.settings["g"] for trial in history) == {"few": 1, "many": 3}


def test_axes_given_by_a_condition_are_in_the_order_of_the_space() -> None:
    assert Axis(choice=(1,), when={"a": 2}).exists({"a": 2})
    history = lived(made("random", SPACES["conditions"])[0], 20)
    assert {tuple(trial.settings) for trial in history} == {
        ("method.name",), ("method.name", "method.lambda"),
    }  # fmt: skip
