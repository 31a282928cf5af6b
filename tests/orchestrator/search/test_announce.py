"""What a search says of itself, from hand-written journals."""

from orchestrator.event_parts import TrialRow
from orchestrator.search import announce
from orchestrator.search.records import (
    Attempt,
    Began,
    Ended,
    How,
    Left,
    Opened,
    Planned,
    Record,
    Reported,
    TrialState,
)
from orchestrator.search.standing import Standing

RECORDS: list[Record] = [
    Opened(0.0, "s", "2bit", "max", ("method.p1",), (), 4, 1, "none", "random", 3, 2),
    Attempt(0.0, 1),
    Planned(0.0, "t001", {"method.p1": 0.5}, "prior"),
    Began(0.0, "t001", "group 1", 2),
    Reported(900.0, "t001", 1, 10, {"2bit": 80.0}, None),
    Left(1800.0, "t001", How.STOPPED),
    Ended(1800.0, "t001", TrialState.STOPPED_EARLY, 80.0, None, {"2bit": 80.0}, None, 1, 10, "low"),
    Planned(1800.0, "t002", {"method.p1": 0.7}, "near"),
    Began(1800.0, "t002", "group 1", 2),
    Left(1810.0, "t002", How.FAILED, "The loss is not finite."),
    Ended(1810.0, "t002", TrialState.FAILED, None, None, {}, None, 0, 0, "The loss is not finite."),
    Planned(1810.0, "t003", {"method.p1": 0.9}, "near"),
]
ROW = TrialRow(trial="t001", state="stopped early", settings={"method.p1": 0.5}, epoch=1,
               value=80.0, reason="low")  # fmt: skip


def test_a_search_counts_what_has_ended_and_names_what_lives_and_what_failed() -> None:
    at = announce.searching(Standing.of(RECORDS), now=1810.0, next_within=5.0)
    assert (at.metric, at.trials, at.epochs, at.next_within) == ("2bit", 4, 3, 5.0)
    assert at.ended == {"stopped early": 1, "failed": 1}
    assert [row.trial for row in at.living] == ["t003"]
    assert [(row.trial, row.reason) for row in at.failed] == [("t002", "The loss is not finite.")]
    assert at.best == ROW
    assert (at.epochs_done, at.epochs_planned) == (1, 12)
    assert at.worker_hours == 2 * 1810 / 3600
    assert at.eta_seconds == 3600  # two trials, each for half an hour


def test_a_search_of_which_nothing_ran_has_no_best_and_no_end_in_sight() -> None:
    at = announce.searching(Standing.of(RECORDS[:3]), now=0.0)
    assert (at.best, at.eta_seconds, at.ended) == (None, None, {})
    assert [row.state for row in at.living] == ["planned"]


def test_the_end_of_a_trial_is_told_with_its_row() -> None:
    told = announce.trial_ended(Standing.of(RECORDS), "t001")
    assert (told.metric, told.epochs, told.row) == ("2bit", 3, ROW)
