"""Searches replayed on tables: an invented one, and the recorded one."""

import itertools
import math

import pytest

from benchmarks.search import record
from benchmarks.search.replay import a_step_off, summary, variants
from benchmarks.search.simulate import Replay, Variant
from benchmarks.search.table import Evaluation, Table, table_of
from benchmarks.search.trainings import Training, read
from orchestrator.job.space import Axis

EPOCHS = 9


def invented() -> Table:
    """Return a table of 5 x 3 settings, of which (1, 2) is the best by far."""
    cells = {
        (x, y): tuple(
            tuple(
                Evaluation({"2bit": 1.0}, 90 - 3 * abs(x - 1) - 2 * abs(y - 2) + epoch + seed / 10)
                for epoch in range(EPOCHS)
            )
            for seed in range(2)
        )
        for x, y in itertools.product(range(5), range(3))
    }
    return Table({"a": (1, 2, 3, 4, 5), "b": ("x", "y", "z")}, cells)


def training(settings: dict[str, object], alone: str, seed: int, *ends: float) -> Training:
    points = [{alone: end} if alone else {"8bit": end, "2bit": end / 2} for end in ends]
    return Training(settings, alone, seed, tuple(points), "", 1.0, "2026-11-29", 0.0, "c")


def test_delta_b_compares_with_the_means_of_the_individual_runs() -> None:
    alone = [training({}, "8bit", 0, 10, 79), training({}, "8bit", 1, 10, 81)]
    alone += [training({}, "2bit", 0, 40)]
    cells = [training({"p1": p}, "", 0, 40 * p, 80 * p) for p in (1, 2)]
    table = table_of([*alone, *cells], {"p1": Axis(grid=(1, 2))})
    assert table.value((0,)) == pytest.approx(100)
    assert [one.delta_b for one in table.cells[(1,)][0]] == pytest.approx([100, 200])
    assert (table.seeds, table.epochs, table.ranked()) == (1, 2, [(1,), (0,)])


def test_a_seed_counts_once_all_cells_have_it() -> None:
    alone = [training({}, "8bit", 0, 80), training({}, "2bit", 0, 40)]
    cells = [training({"p1": p}, "", seed, 80) for p in (1, 2) for seed in (0, 1)]
    space = {"p1": Axis(grid=(1, 2))}
    assert table_of([*alone, *cells], space).seeds == 2
    assert table_of([*alone, *cells[:3]], space).seeds == 1
    with pytest.raises(ValueError, match="1 of 2 cells"):
        table_of([*alone, *cells[:2]], space)


def test_a_failed_training_makes_a_cell_the_worst() -> None:
    alone = [training({}, "8bit", 0, 80), training({}, "2bit", 0, 40)]
    cells = [training({"p1": 1}, "", 0, 90), training({"p1": 2}, "", 0, 1, 2)]
    table = table_of([*alone, *cells], {"p1": Axis(grid=(1, 2))})
    assert table.ranked() == [(1,), (0,)]
    assert table.value((0,)) == -math.inf


def test_the_right_prior_needs_one_training_and_a_wrong_one_more() -> None:
    table = invented()
    right, wrong = Variant("prior", (1, 2)), Variant("prior", (4, 0))
    assert Replay(table, right, seed=0).trainings("none", 1) == {0.2: 1, 0.5: 1}
    assert Replay(table, wrong, seed=0).trainings("none", 1)[0.5] > 1


def test_a_grid_needs_half_of_its_settings_in_the_mean() -> None:
    found = [
        Replay(invented(), Variant("grid"), seed).trainings("none", 1)[0.2] for seed in range(60)
    ]
    assert sum(found) / 60 == pytest.approx(8, abs=1.5)
    assert len(set(found)) > 10


def test_a_scheduler_saves_epochs() -> None:
    whole, saved = (
        summary(invented(), Variant("random"), scheduler, 1, 20)["within_0.2"]["median"]
        for scheduler in ("none", "asha")
    )
    assert whole is not None
    assert saved is not None
    assert saved < 0.8 * whole


def test_epochs_of_all_trials_at_once_are_counted() -> None:
    found = Replay(invented(), Variant("prior", (1, 2)), seed=0).trainings("none", 4)
    assert 3 < found[0.2] <= 4


def test_a_prior_that_is_off_is_a_step_away_where_there_are_steps() -> None:
    table = Table({"a": (1, 2, 3), "b": (1, 2), "c": (1, 2, 3)}, {})
    assert a_step_off((0, 1, 2), table) == (1, 1, 1)


def test_every_searcher_finds_an_answer_in_the_recorded_table() -> None:
    table = table_of(read(record.TABLE), record.search().space)
    assert len(table.cells) == 36
    found = {
        name: Replay(table, variant, seed=1).trainings("none", 1)
        for name, variant in variants(table).items()
    }
    assert found["prior_right"] == {0.2: 1, 0.5: 1}
    assert all(1 <= one[0.5] <= one[0.2] <= 36 for one in found.values())
