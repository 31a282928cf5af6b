"""What becomes of a trial, from the records alone."""

import math
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.job.search import Search
from orchestrator.search.judge import Judge, Sentence
from orchestrator.search.records import (
    Asked,
    Attempt,
    Began,
    How,
    Left,
    Opened,
    Planned,
    Record,
    Reported,
    TrialState,
)
from orchestrator.search.standing import Standing

OPENED = Opened(0.0, "s", "2bit", "max", ("a",), (), 9, 1, "asha", "random", 5, 1)
EARLY = TrialState.STOPPED_EARLY


class Court:
    """A judge that has heard some records, and can hear more."""

    def __init__(self, *records: Record, seeds: int = 1) -> None:
        given: dict[str, Any] = {"space": {"a": {"uniform": [0, 1]}}, "metric": "2bit"}
        scheduler = {"name": "asha", "grace": 1, "factor": 2}
        search = Search(**given, trials=9, seeds=seeds, scheduler=scheduler)  # type: ignore[arg-type]
        self.standing = Standing()
        self.judge = Judge(search, self.standing, epochs=5)
        self.hear(replace(OPENED, seeds=seeds), *records)

    def hear(self, *records: Record) -> None:
        for record in records:
            self.standing.add(record)
            self.judge.hear(record)


def began(*runs: str) -> list[Record]:
    trials = dict.fromkeys(run.partition("s")[0] for run in runs)
    planned: list[Record] = [Planned(0.0, trial, {"a": 0.5}, "anywhere") for trial in trials]
    return [*planned, *(Began(0.0, run, "g", 1) for run in runs)]


def report(run: str, epoch: int, value: float) -> Reported:
    return Reported(1.0, run, epoch, epoch, {"2bit": value}, None)


def left(run: str, how: How, reason: str = "") -> Left:
    return Left(2.0, run, how, reason)


def test_a_trial_that_is_worse_at_a_rung_is_stopped_early() -> None:
    court = Court(*began("t001", "t002"), report("t001", 1, 90.0), report("t002", 1, 80.0))
    assert court.judge.sentence("t001") is None
    found = court.judge.sentence("t002")
    assert found is not None
    assert (found.state, found.reason[:19]) == (EARLY, "80.00 after epoch 1")


def test_a_run_that_parks_three_times_without_a_new_epoch_fails_its_trial() -> None:
    parks = left("t001", How.PARKED)
    court = Court(*began("t001"), parks, parks, report("t001", 1, 90.0), parks, parks)
    assert court.judge.sentence("t001") is None
    court.hear(Attempt(3.0, 2), parks, parks)
    assert court.judge.sentence("t001") is None
    court.hear(parks)
    reason = "t001 parked 3 times after epoch 1, without a new one"
    assert court.judge.sentence("t001") == Sentence(TrialState.FAILED, reason)


def test_the_last_epoch_is_not_judged() -> None:
    court = Court(*began("t001", "t002"), report("t001", 5, 90.0), report("t002", 5, 80.0))
    assert court.judge.sentence("t002") is None


def test_seeds_are_judged_by_their_mean_and_only_when_all_are_there() -> None:
    runs = [f"t00{trial}s{seed}" for trial in (1, 2, 3) for seed in (1, 2)]
    court = Court(*began(*runs), report("t001s1", 1, 80.0), report("t001s2", 1, 90.0), seeds=2)
    court.hear(report("t002s1", 1, 70.0))
    assert court.judge.passed("t001", 1)
    assert not court.judge.passed("t002", 1)
    assert court.judge.sentence("t002") is None
    court.hear(report("t002s2", 1, 101.0))
    assert court.judge.passed("t002", 1)
    assert court.judge.sentence("t002") is None
    court.hear(report("t003s1", 1, 99.0), report("t003s2", 1, 70.0))
    assert court.judge.sentence("t003") is not None


def test_seeds_go_from_rung_to_rung_and_one_run_goes_to_its_end() -> None:
    several = Court(seeds=2).judge
    assert [several.next_rung(epoch) for epoch in range(5)] == [1, 2, 4, 4, None]
    assert several.passed("t001", 0)
    assert several.passed("t001", 3)
    alone = Court().judge
    assert alone.next_rung(0) is None
    assert alone.passed("t001", 1)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("epoch", [1, 3, 5])
def test_a_value_that_is_not_finite_fails_a_trial_at_any_epoch(value: float, epoch: int) -> None:
    court = Court(*began("t001"), report("t001", epoch, value), left("t001", How.FINISHED))
    reason = f"after epoch {epoch} there is no finite 2bit"
    assert court.judge.sentence("t001") == Sentence(TrialState.FAILED, reason)


def test_a_value_that_is_not_finite_is_kept_from_the_scheduler() -> None:
    court = Court(*began("t001", "t002"), report("t001", 1, math.nan), report("t002", 1, 1.0))
    assert court.judge.sentence("t002") is None


def test_a_trial_is_finished_when_all_its_runs_are() -> None:
    court = Court(*began("t001s1", "t001s2"), left("t001s1", How.FINISHED), seeds=2)
    assert court.judge.sentence("t001") is None
    court.hear(left("t001s2", How.FINISHED))
    assert court.judge.sentence("t001") == Sentence(TrialState.FINISHED, "")


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        (How.FAILED, Sentence(TrialState.FAILED, "killed")),
        (How.STOPPED, Sentence(TrialState.STOPPED, "")),
        (How.PARKED, None),
    ],
)
def test_one_run_that_fails_or_is_stopped_decides_for_its_trial(
    how: How, sentence: Sentence | None
) -> None:
    court = Court(*began("t001s1", "t001s2"), left("t001s1", How.FINISHED), seeds=2)
    court.hear(left("t001s2", how, "killed"))
    assert court.judge.sentence("t001") == sentence


@pytest.mark.parametrize(
    ("how", "state"),
    [
        (How.STOPPED, TrialState.OUT_OF_BUDGET),
        (How.PARKED, TrialState.OUT_OF_BUDGET),
        (How.FINISHED, TrialState.FINISHED),
        (How.FAILED, TrialState.FAILED),
    ],
)
def test_what_was_asked_holds_unless_the_run_came_to_another_end(
    how: How, state: TrialState
) -> None:
    asked = Asked(1.0, "t001", TrialState.OUT_OF_BUDGET, "spent")
    court = Court(*began("t001"), asked, left("t001", how))
    found = court.judge.sentence("t001")
    assert found is not None
    assert found.state == state


def test_what_is_reported_after_the_request_to_end_is_not_judged() -> None:
    asked = Asked(1.0, "t001", EARLY, "worse")
    court = Court(*began("t001", "t002"), asked, report("t001", 1, 99.0), report("t002", 1, 1.0))
    assert court.judge.sentence("t001") == Sentence(EARLY, "worse")
    assert court.judge.sentence("t002") is None
