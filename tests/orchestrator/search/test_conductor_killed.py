"""A search whose driver is killed, after any line and again and again, reaches the same table."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from orchestrator.job.search import Search
from orchestrator.job.space import Settings
from orchestrator.search.records import (
    Asked,
    Attempt,
    Began,
    Ended,
    Left,
    Planned,
    Record,
    Reported,
    TrialState,
)
from tests.orchestrator.search.simulated import Fails, Score
from tests.orchestrator.search.stage import (
    ASHA,
    Killed,
    Stage,
    diverges,
    half_fails,
    rises,
    search,
    table,
)

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")

SEARCHES: dict[str, tuple[Search, Score, int]] = {
    "plain": (search(), rises, 2),
    "seeds": (search(trials=2, seeds=2), rises, 3),
    "asha": (search(trials=6, scheduler=ASHA), rises, 1),
    "asha of two seeds": (search(trials=4, seeds=2, scheduler=ASHA), rises, 1),
    "median": (search(trials=5, scheduler={"name": "median", "least": 2}), rises, 1),
    "failures": (search(max_failed=5), half_fails, 2),
    "too many failures": (search(trials=6, max_failed=2), half_fails, 1),
    "not a number": (search(max_failed=5), diverges, 2),
    "not a number in seeds": (search(seeds=2, scheduler=ASHA, max_failed=5), diverges, 1),
    "epochs": (search(budget={"epochs": 12}), rises, 1),
    "grid": (search(space={"method.p1": {"grid": [0.2, 0.4]}}, trials=9), rises, 1),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_killed_after_any_line_reaches_the_same_table(tmp_path: Path, name: str) -> None:
    settings, score, groups = SEARCHES[name]
    whole = Stage(tmp_path / "whole", settings, score, groups)
    expected = table(whole.conduct())
    assert len(whole.records()) > 10
    assert len(whole.of(Reported)) == len(whole.disk.trained)
    for lines in range(len(whole.records())):
        cut = Stage(tmp_path / f"cut-{lines}", settings, score, groups)
        with pytest.raises(Killed):
            cut.conduct(lines=lines, torn=lines % 2 == 1)
        assert table(cut.conduct()) == expected, lines
        reported = [(record.run, record.epoch) for record in cut.of(Reported)]
        assert len(reported) == len(set(reported)), lines
        _is_in_order(cut.records())


def test_runs_that_too_many_failures_ended_go_on_when_more_may_fail_wherever_the_driver_was_killed(
    tmp_path: Path,
) -> None:
    def small_fails(settings: Settings, seed: int, epoch: int) -> float:
        if settings["method.p1"] < 0.5:
            raise Fails("no")
        return rises(settings, seed, epoch)

    space, grid = {"method.p1": {"grid": [0.2, 0.6]}}, {"name": "grid"}
    strict, lenient = (search(space=space, searcher=grid, max_failed=most) for most in (1, 2))
    whole = Stage(tmp_path / "whole", strict, small_fails, groups=2)
    reason = whole.conduct().closed
    failed = next(n for n, one in enumerate(whole.records()) if isinstance(one, Ended))
    for lines in range(failed + 1, len(whole.records())):
        cut = Stage(tmp_path / f"cut-{lines}", strict, small_fails, groups=2)
        with pytest.raises(Killed):
            cut.conduct(lines=lines)
        closed = cut.conduct().closed
        assert closed is not None
        assert reason is not None
        assert closed.reason == reason.reason
        assert cut.crews[1].handed == []
        cut.search = lenient
        assert cut.conduct().counts == {TrialState.FINISHED: 1, TrialState.FAILED: 1}


def test_a_search_killed_again_and_again_reaches_the_same_table(tmp_path: Path) -> None:
    settings, score, groups = SEARCHES["asha of two seeds"]
    expected = table(Stage(tmp_path / "whole", settings, score, groups).conduct())
    cut = Stage(tmp_path / "cut", settings, score, groups)
    for _ in range(200):
        try:
            standing = cut.conduct(lines=4, torn=True)
        except Killed:
            continue
        break
    assert cut.of(Attempt)[-1].number > 10
    assert table(standing) == expected


def _is_in_order(records: Sequence[Record]) -> None:
    """Check that a trial is planned before it begins, and that nothing of it follows its end."""
    planned, ended = set(), set()
    for record in records:
        match record:
            case Planned():
                planned.add(record.trial)
            case Began() | Reported() | Left():
                trial = record.run.partition("s")[0]
                assert trial in planned - ended, record
            case Asked() | Ended():
                assert record.trial in planned - ended, record
                ended |= {record.trial} if isinstance(record, Ended) else set()
