"""What is said about methods that were trained with one budget."""

from pathlib import Path

import pytest

from benchmarks import method_ranking
from benchmarks.method_ranking import ALONE, BIT_WIDTHS, METHODS, Wanted, all_wanted, ranked
from benchmarks.search.trainings import Training


def training(method: str, alone: str, seed: int, last: dict[str, float]) -> Training:
    first = dict.fromkeys(last, 10.0)
    return Training({"method": method}, alone, seed, (first, last), "", 1.0, "today", 0.5, "0")


def trained(high: float, low: float) -> list[Training]:
    """Each method at `high` percent with seed 0 and 10 more with seed 1, but `low` at 2 bits."""
    made = []
    for wanted in all_wanted(2):
        each = dict.fromkeys(BIT_WIDTHS, high + 10 * wanted.seed) | {"2bit": low}
        own = {wanted.alone: 50.0} if wanted.alone else each
        made.append(training(wanted.method, wanted.alone, wanted.seed, own))
    return made


def test_methods_are_judged_by_their_last_epochs_seed_by_seed() -> None:
    found = ranked(trained(high=40.0, low=25.0))
    one = {"8bit": [40.0, 50.0], "6bit": [40.0, 50.0], "4bit": [40.0, 50.0], "2bit": [25.0, 25.0]}
    assert found["top1"] == {
        ALONE: {name: [50.0, 50.0] for name in BIT_WIDTHS},
        **dict.fromkeys(METHODS, one),
    }
    assert found["mean"]["coquant"] == {"8bit": 45.0, "6bit": 45.0, "4bit": 45.0, "2bit": 25.0}  # type: ignore[index]
    assert found["spread"]["joint"] == {"8bit": 10.0, "6bit": 10.0, "4bit": 10.0, "2bit": 0.0}  # type: ignore[index]
    # (80 + 80 + 80 + 50) / 4 percent with the first seed, (100 + 100 + 100 + 50) / 4 with the next.
    assert found["delta_b"]["coquant"] == [72.5, 87.5]  # type: ignore[index]
    assert found["delta_b"][ALONE] == [100.0, 100.0]  # type: ignore[index]


def test_every_job_of_the_ranking_is_right_and_has_the_same_budget(tmp_path: Path) -> None:
    (tmp_path / "individual_8bit_seed0" / "checkpoint_p01_e0010_s000000").mkdir(parents=True)
    jobs = [method_ranking.job_of(one, tmp_path, tmp_path) for one in all_wanted(1)]
    trained = [job for job in jobs if job.training.epochs]
    assert (
        len({(job.training.epochs, job.data.limit_train, job.optimizer.lr) for job in trained}) == 1
    )
    assert [job.points[0].name for job in jobs[:4]] == list(BIT_WIDTHS)
    assert all(len(job.points) == 4 for job in jobs[4:])


def test_what_is_in_the_table_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing: list[Wanted] = []
    monkeypatch.setattr(method_ranking, "read", lambda _: trained(40.0, 25.0))
    monkeypatch.setattr(method_ranking, "record", lambda found, *_: missing.extend(found))
    monkeypatch.setattr(method_ranking, "keep", lambda *_: None)
    monkeypatch.setattr("sys.argv", ["method_ranking", "--root", str(tmp_path), "--seeds", "2"])
    method_ranking.main()
    assert missing == []
