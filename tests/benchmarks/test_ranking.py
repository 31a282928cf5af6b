"""Which trainings a ranking makes, and what it says about them."""

from pathlib import Path

import pytest

from benchmarks import coquant_parts, method_ranking, ranking
from benchmarks.ranking import ALONE, Ranking, Wanted
from benchmarks.search.trainings import Training

RANKINGS = [method_ranking.RANKING, coquant_parts.RANKING]
BIT_WIDTHS = method_ranking.BIT_WIDTHS


def training(wanted: Wanted, last: dict[str, float]) -> Training:
    first = dict.fromkeys(last, 10.0)
    settings = {"method": wanted.method}
    return Training(settings, wanted.alone, wanted.seed, (first, last), "", 1.0, "today", 0.5, "0")


def trained(of: Ranking, high: float, low: float) -> list[Training]:
    """Each method at `high` percent with seed 0 and 10 more with seed 1, but `low` at 2 bits."""
    made = []
    for wanted in of.wanted(2):
        each = dict.fromkeys(BIT_WIDTHS, high + 10 * wanted.seed) | {"2bit": low}
        made.append(training(wanted, {wanted.alone: 50.0} if wanted.alone else each))
    return made


def test_methods_are_judged_by_their_last_epochs_seed_by_seed() -> None:
    found = method_ranking.ranked(trained(method_ranking.RANKING, high=40.0, low=25.0))
    one = {"8bit": [40.0, 50.0], "6bit": [40.0, 50.0], "4bit": [40.0, 50.0], "2bit": [25.0, 25.0]}
    assert found["top1"] == {
        ALONE: {name: [50.0, 50.0] for name in BIT_WIDTHS},
        **dict.fromkeys(method_ranking.METHODS, one),
    }
    assert found["mean"]["coquant"] == {"8bit": 45.0, "6bit": 45.0, "4bit": 45.0, "2bit": 25.0}  # type: ignore[index]
    assert found["spread"]["joint"] == {"8bit": 10.0, "6bit": 10.0, "4bit": 10.0, "2bit": 0.0}  # type: ignore[index]
    # (80 + 80 + 80 + 50) / 4 percent with the first seed, (100 + 100 + 100 + 50) / 4 with the next.
    assert found["delta_b"]["coquant"] == [72.5, 87.5]  # type: ignore[index]
    assert found["delta_b"][ALONE] == [100.0, 100.0]  # type: ignore[index]


def test_a_gain_is_over_the_same_seed_and_has_its_standard_error() -> None:
    reached = {"adabits": (40.0, 50.0), "coquant": (41.0, 53.0), "coquant_no_swap": (39.0, 49.0)}
    made = [
        training(wanted, dict.fromkeys(BIT_WIDTHS, reached[wanted.method][wanted.seed]))
        for wanted in reversed(coquant_parts.RANKING.wanted(2))
    ]
    found = coquant_parts.compared(made)
    # Gains of 1 and 3 points: their standard deviation is the root of 2, over the root of 2 seeds.
    assert found["gain"]["coquant"] == dict.fromkeys(BIT_WIDTHS, 2.0)  # type: ignore[index]
    assert found["error"]["coquant"] == dict.fromkeys(BIT_WIDTHS, 1.0)  # type: ignore[index]
    assert found["gain"]["coquant_no_swap"] == dict.fromkeys(BIT_WIDTHS, -1.0)  # type: ignore[index]
    assert found["error"]["coquant_no_swap"] == dict.fromkeys(BIT_WIDTHS, 0.0)  # type: ignore[index]


def test_a_network_is_closer_by_what_its_gap_is_less_whatever_the_run_reached() -> None:
    gaps = {"adabits": (5.0, 4.0), "coquant": (3.0, 4.0), "coquant_no_swap": (6.0, 5.0)}
    made = [
        training(one, dict.fromkeys(BIT_WIDTHS, high) | {"2bit": high - gaps[one.method][one.seed]})
        for high, one in enumerate(coquant_parts.RANKING.wanted(2), start=40)
    ]
    found = coquant_parts.compared(made)
    assert found["gap"] == {method: list(gap) for method, gap in gaps.items()}
    assert found["closer"] == {"coquant": 1.0, "coquant_no_swap": -1.0}
    assert found["closer_error"] == {"coquant": 1.0, "coquant_no_swap": 0.0}


@pytest.mark.parametrize("of", RANKINGS, ids=lambda of: of.job.stem)
def test_every_job_of_a_ranking_is_right_and_has_the_same_budget(
    of: Ranking, tmp_path: Path
) -> None:
    (tmp_path / "individual_8bit_seed0" / "checkpoint_p01_e0010_s000000").mkdir(parents=True)
    jobs = [of.job_of(one, tmp_path, tmp_path) for one in of.wanted(1)]
    trained = [job for job in jobs if job.training.epochs]
    assert (
        len({(job.training.epochs, job.data.limit_train, job.optimizer.lr) for job in trained}) == 1
    )
    alone = len(of.alone)
    assert [job.points[0].name for job in jobs[:alone]] == list(of.alone)
    assert all(len(job.points) == 4 for job in jobs[alone:])


def test_what_is_in_the_table_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = method_ranking.RANKING
    table = trained(of, 40.0, 25.0)
    asked: list[Wanted] = []
    monkeypatch.setattr(ranking, "read", lambda _: table)
    monkeypatch.setattr(ranking, "two_at_a_time", lambda _, items: asked.extend(items) or [])
    monkeypatch.setattr("sys.argv", ["ranking", "--root", str(tmp_path)])
    made, facts = ranking.trainings(of, "benchmarks.method_ranking", "")
    assert asked == []
    assert made == table
    assert facts["seeds"] == 2
