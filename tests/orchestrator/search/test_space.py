"""Settings as places in a unit cube, with conditions, ends and cells."""

import random

import pytest

from orchestrator.job.search import Search
from orchestrator.job.space import Axis
from orchestrator.search.space import Space
from orchestrator.search.trial import Trial

LISTED = {
    "method.name": Axis(choice=("adabits", "coquant")),
    "method.lambda": Axis(grid=(0.0, 1.0), when={"method.name": "coquant"}),
}


def space(**axes: Axis) -> Space:
    return Space(axes, {})


def test_axes_that_do_not_exist_are_left_out() -> None:
    listed = Space(LISTED, {})
    assert listed.settings({"method.name": 0.0, "method.lambda": 0.9}) == {"method.name": "adabits"}
    assert listed.settings({"method.name": 0.9, "method.lambda": 0.9}) == {
        "method.name": "coquant", "method.lambda": 1.0,
    }  # fmt: skip


def test_conditions_may_refer_to_what_is_fixed() -> None:
    axis = Axis(grid=(1, 2), when={"method.name": ["coquant", "joint"]})
    assert Space({"a": axis}, {"method.name": "joint"}).settings({"a": 0.0}) == {"a": 1}
    assert Space({"a": axis}, {"method.name": "adabits"}).settings({"a": 0.0}) == {}


def test_the_place_of_settings_gives_the_same_settings() -> None:
    axes = {
        "a": Axis(loguniform=(1e-4, 1.0)),
        "b": Axis(choice=(2, 4, 8)),
        "c": Axis(uniform=(0, 1)),
    }
    some = Space(axes, {})
    chance = random.Random(0)
    for _ in range(50):
        settings = some.settings({key: chance.random() for key in axes})
        again = some.settings(some.units(settings))
        assert again == pytest.approx(settings)


def test_the_settings_of_a_job_are_found_again_if_they_are_of_the_space() -> None:
    listed = Space(LISTED, {})
    coquant = {"name": "coquant", "lambda": 1.0, "p1": 0.9}
    assert listed.settings_in({"method": coquant, "seed": 3}) == {
        "method.name": "coquant", "method.lambda": 1.0,
    }  # fmt: skip
    assert listed.settings_in({"method": {"name": "adabits"}}) == {"method.name": "adabits"}
    assert listed.settings_in({"method": {"name": "coquant", "lambda": 0.5}}) is None
    assert space(a=Axis(uniform=(0, 1))).settings_in({"b": 0.5}) is None


@pytest.mark.parametrize(
    ("axis", "count"),
    [
        (Axis(choice=("a", "b")), 2),
        (Axis(uniform=(0.3, 0.95), step=0.05), 14),
        (Axis(uniform=(1, 8), step=2), 4),
        (Axis(uniform=(0.1, 0.7), step=0.1), 7),
        (Axis(loguniform=(1, 8), step=1), 8),
    ],
)
def test_a_finite_axis_has_so_many_trials(axis: Axis, count: int) -> None:
    finite = space(a=axis)
    assert finite.is_finite
    assert finite.trials(None) == finite.trials(1000) == count
    assert finite.trials(1) == 1
    found = [finite.nth(number) for number in range(count + 1)]
    assert found[-1] is None
    assert len({str(settings) for settings in found[:-1]}) == count


def test_a_range_without_a_step_has_no_end() -> None:
    endless = space(a=Axis(uniform=(0, 1)), b=Axis(choice=(1, 2)))
    assert not endless.is_finite
    assert endless.trials(7) == 7
    with pytest.raises(ValueError, match=r"search\.trials"):
        endless.trials(None)


def test_what_conditions_leave_out_is_not_counted() -> None:
    assert Space(LISTED, {}).trials(None) == 3


def test_drawn_settings_that_were_tried_are_drawn_again_until_nothing_is_left() -> None:
    listed, history = Space(LISTED, {}), list[Trial]()
    chance = random.Random(3)
    while settings := listed.untried(lambda: {key: chance.random() for key in LISTED}, history):
        assert settings not in [trial.settings for trial in history]
        history.append(Trial(f"t{len(history)}", settings))
    assert len(history) == 3


def test_the_last_untried_settings_are_found_however_unlikely_they_are() -> None:
    few = space(a=Axis(choice=(1, 2)))
    found = few.untried(lambda: {"a": 0.0}, [Trial("t001", {"a": 1})])
    assert found == {"a": 2}


def test_cells_have_one_value_of_every_grid_axis() -> None:
    axes = {"g": Axis(grid=(1, 2)), "d": Axis(uniform=(0, 1)), "h": Axis(grid=("x", "y"))}
    cells = Space(axes, {}).cells()
    units = dict.fromkeys(axes, 0.5)
    assert [cell.settings(units) for cell in cells] == [
        {"g": g, "d": 0.5, "h": h} for g in (1, 2) for h in ("x", "y")
    ]


def test_a_grid_axis_is_in_the_cells_whatever_is_drawn_for_its_condition() -> None:
    cells = Space(LISTED, {}).cells()
    drawn = [cell.settings({"method.name": 0.9, "method.lambda": 0.5}) for cell in cells]
    assert [settings["method.lambda"] for settings in drawn] == [0.0, 1.0]
    assert all(cell.has({"method.name": "adabits"}) for cell in cells)
    coquant = {"method.name": "coquant", "method.lambda": 1.0}
    assert [cell.has(coquant) for cell in cells] == [False, True]


def test_the_space_of_a_search_has_the_values_of_its_job() -> None:
    prior = {"uniform": [0, 1], "prior": {"width": 0.1}, "when": {"method.name": "coquant"}}
    search = Search(space={"method.p1": prior}, trials=1)  # type: ignore[dict-item]
    found = Space.of(search, {"method": {"name": "coquant", "p1": 0.7}})
    assert found.axes["method.p1"].prior is not None
    assert found.axes["method.p1"].prior.value == 0.7
    assert found.fixed == {"method.name": "coquant"}


def test_a_range_with_too_many_steps_to_list_counts_as_one_without() -> None:
    fine = space(a=Axis(uniform=(0.1, 0.3), step=1e-12), b=Axis(loguniform=(1, 1e9), step=1))
    assert fine.trials(5) == 5
    assert not fine.is_finite
    assert fine.settings({"a": 0.5, "b": 0.5})["b"] == 31623
