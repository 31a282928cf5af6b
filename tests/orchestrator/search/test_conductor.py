"""A whole search in simulated time: what is trained, what is stopped, and when it ends."""

import math
from collections.abc import Callable

import pytest

from orchestrator.job.space import Settings
from orchestrator.search.judge import Judge, Sentence
from orchestrator.search.records import Asked, Ended, How, Left, Opened, Planned, TrialState
from orchestrator.search.standing import Standing
from tests.orchestrator.search.simulated import Fails
from tests.orchestrator.search.stage import ASHA, EPOCHS, Killed, Stage, half_fails, rises, search

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


def test_finished_trials_are_never_handed_out_again(stage: Callable[..., Stage]) -> None:
    play = stage(search())
    with pytest.raises(Killed):
        play.conduct(lines=2 + 2 * (1 + 1 + EPOCHS + 1 + 1) + 4)
    assert [ended.trial for ended in play.of(Ended)] == ["t001", "t002"]
    play.conduct()
    assert [leg.trial for leg in play.crews[1].handed] == ["t003", "t004"]
    assert len(play.disk.trained) == 4 * EPOCHS


def test_trials_under_asha_end_early_and_what_is_told_is_what_is_written(
    stage: Callable[..., Stage],
) -> None:
    play = stage(search(trials=6, scheduler=ASHA))
    standing = play.conduct()
    states = [trial.state for trial in standing.trials.values()]
    assert states[0] == TrialState.FINISHED
    assert TrialState.STOPPED_EARLY in states
    for trial in standing.trials.values():
        if trial.state == TrialState.STOPPED_EARLY:
            assert trial.epoch in (1, 3)
            assert f"after epoch {trial.epoch}" in trial.reason
    assert play.told == play.records()


def test_a_trial_is_asked_in_the_journal_before_its_run_is(stage: Callable[..., Stage]) -> None:
    play = stage(search(trials=6, scheduler=ASHA))
    play.conduct()
    asked = [record.trial for record in play.of(Asked)]
    assert asked == play.crews[0].asked
    again = stage(search(trials=6, scheduler=ASHA))
    again.folder = play.folder.with_name("again")
    first = play.records().index(play.of(Asked)[0])
    with pytest.raises(Killed):
        again.conduct(lines=first)
    assert again.crews[0].asked == []


def test_seeds_wait_for_each_other_at_every_rung_and_their_mean_is_judged(
    stage: Callable[..., Stage],
) -> None:
    play = stage(search(trials=3, seeds=2, scheduler=ASHA), groups=2)
    standing = play.conduct()
    legs = [leg for leg in play.crews[0].handed if leg.trial == "t001"]
    assert [(leg.run, leg.seed, leg.until) for leg in legs] == [
        ("t001s1", 0, 1), ("t001s2", 1, 1),
        ("t001s1", 0, 3), ("t001s2", 1, 3),
        ("t001s1", 0, None), ("t001s2", 1, None),
    ]  # fmt: skip
    trial = standing.trials["t001"]
    own = rises(trial.settings, 0, EPOCHS)
    assert trial.value == pytest.approx(own + 1)
    assert trial.spread == pytest.approx(2)
    assert len(trial.by_seed) == 2


def test_one_seed_trains_to_the_end_in_one_leg(stage: Callable[..., Stage]) -> None:
    play = stage(search(trials=6, scheduler=ASHA))
    play.conduct()
    assert [leg.until for leg in play.crews[0].handed] == [None] * 6


def test_a_failing_trial_is_one_row_and_the_search_goes_on(stage: Callable[..., Stage]) -> None:
    play = stage(search(trials=8, max_failed=8), half_fails)
    standing = play.conduct()
    failed = [t for t in standing.trials.values() if t.state == TrialState.FAILED]
    assert 0 < len(failed) < 8
    assert {(t.reason, t.value, t.epoch) for t in failed} == {("The loss is not finite.", None, 2)}
    assert standing.closed is not None
    assert standing.closed.reason == ""


def test_a_seed_that_fails_ends_the_others_of_its_trial(stage: Callable[..., Stage]) -> None:
    def second_fails(settings: Settings, seed: int, epoch: int) -> float:
        if seed == 1 and epoch == 2:
            raise Fails("gone")
        return 50.0

    play = stage(search(trials=1, seeds=3), second_fails, groups=3)
    play.conduct()
    assert {left.run: left.how for left in play.of(Left)} == {
        "t001s1": How.PARKED, "t001s2": How.FAILED, "t001s3": How.PARKED,
    }  # fmt: skip
    assert [(one.state, one.reason) for one in play.of(Ended)] == [(TrialState.FAILED, "gone")]


def test_too_many_failures_end_the_search_with_their_reasons(stage: Callable[..., Stage]) -> None:
    def fails(settings: Settings, seed: int, epoch: int) -> float:
        raise Fails("The loss is not finite.")

    standing = stage(search(trials=12, max_failed=3), fails).conduct()
    assert list(standing.counts) == [TrialState.FAILED]
    assert standing.closed is not None
    value = standing.trials["t001"].settings["method.p1"]
    assert standing.closed.reason == (
        "3 of 3 trials failed, search.max_failed = 3 allows no more. "
        f"t001 (p1 {value:.4g}): The loss is not finite. (x3)"
    )


@pytest.mark.parametrize(("trials", "most"), [(2, 2), (8, 3), (40, 10)])
def test_a_quarter_of_the_trials_may_fail_but_at_least_three(
    stage: Callable[..., Stage], trials: int, most: int
) -> None:
    def fails(settings: Settings, seed: int, epoch: int) -> float:
        raise Fails("no")

    standing = stage(search(trials=trials), fails).conduct()
    assert standing.counts == {TrialState.FAILED: most}
    assert standing.closed is not None
    assert standing.closed.reason


def test_others_are_asked_to_save_when_too_many_have_failed_and_go_on_when_more_may(
    stage: Callable[..., Stage],
) -> None:
    def first_fails(settings: Settings, seed: int, epoch: int) -> float:
        if settings["method.p1"] < 0.5:
            raise Fails("no")
        return 50.0 + epoch

    space = {"method.p1": {"grid": [0.2, 0.6]}}
    play = stage(search(space=space, searcher={"name": "grid"}, max_failed=1), first_fails, 2)
    standing = play.conduct()
    assert standing.counts == {TrialState.RUNNING: 1, TrialState.FAILED: 1}
    assert play.crews[0].asked == ["t002"]
    play.search = search(space=space, searcher={"name": "grid"}, max_failed=2)
    standing = play.conduct()
    assert standing.counts == {TrialState.FINISHED: 1, TrialState.FAILED: 1}
    assert len(play.disk.trained) == EPOCHS


def test_no_value_at_all_fails_a_trial_even_after_its_last_epoch(
    stage: Callable[..., Stage],
) -> None:
    def late(settings: Settings, seed: int, epoch: int) -> float:
        return math.nan if epoch == EPOCHS else 50.0

    ended = stage(search(trials=1), late).conduct().trials["t001"]
    assert (ended.state, ended.value) == (TrialState.FAILED, None)
    assert ended.reason == "after epoch 5 there is no finite 2bit"


def test_a_budget_of_epochs_ends_what_is_alive(stage: Callable[..., Stage]) -> None:
    standing = stage(search(budget={"epochs": 6}), groups=2).conduct()
    assert standing.epochs == 6
    assert standing.counts == {TrialState.OUT_OF_BUDGET: 2}
    assert standing.trials["t001"].reason == "search.budget.epochs = 6 is spent"
    assert standing.closed is not None
    assert standing.closed.reason == "No trial finished (2 out of budget)."


def test_a_budget_of_hours_counts_all_attempts_but_not_the_time_between(
    stage: Callable[..., Stage],
) -> None:
    play = stage(search(budget={"hours": 7.5 / 3600}))
    with pytest.raises(Killed):
        play.conduct(lines=6)
    play.disk.now += 1000
    standing = play.conduct()
    assert standing.counts == {TrialState.FINISHED: 1, TrialState.OUT_OF_BUDGET: 1}
    assert standing.epochs == EPOCHS + 4


def test_a_run_that_a_person_stops_ends_its_trial_alone(stage: Callable[..., Stage]) -> None:
    play = stage(search(trials=3, seeds=2), groups=2)
    play.disk.stops.add("t002s1")
    standing = play.conduct()
    states = {trial.name: trial.state for trial in standing.trials.values()}
    assert states == {
        "t001": TrialState.FINISHED, "t002": TrialState.STOPPED, "t003": TrialState.FINISHED,
    }  # fmt: skip


def test_a_search_that_is_stopped_goes_on_where_it_was(stage: Callable[..., Stage]) -> None:
    play = stage(search(), groups=2)
    standing = play.conduct(stop_after=3.0)
    assert standing.closed is None
    assert standing.counts == {TrialState.RUNNING: 2}
    assert [left.how for left in play.of(Left)] == [How.PARKED] * 2
    standing = play.conduct()
    assert standing.counts == {TrialState.FINISHED: 4}
    assert standing.closed is not None
    assert sorted(play.disk.trained) == sorted(set(play.disk.trained))


def test_a_run_that_only_parks_fails_its_trial_and_the_search_goes_on(
    stage: Callable[..., Stage],
) -> None:
    play = stage(search(trials=2, seeds=2), groups=2)
    play.disk.stuck.add("t001s2")
    standing = play.conduct()
    states = [(trial.state, trial.reason) for trial in standing.trials.values()]
    reason = "t001s2 parked 3 times after epoch 0, without a new one"
    assert states == [(TrialState.FAILED, reason), (TrialState.FINISHED, "")]
    assert [leg.run for leg in play.crews[0].handed].count("t001s2") == 3


def test_a_trial_that_a_person_stops_while_the_search_is_stopped_has_ended(
    stage: Callable[..., Stage],
) -> None:
    play = stage(search(trials=2), groups=2)
    play.disk.stops.add("t002")
    play.conduct(stop_after=1.0)
    assert [record.trial for record in play.of(Ended)] == ["t002"]
    assert play.conduct().counts == {TrialState.FINISHED: 1, TrialState.STOPPED: 1}


def test_what_was_begun_comes_before_what_is_new(stage: Callable[..., Stage]) -> None:
    play = stage(search(), groups=2)
    play.conduct(stop_after=3.0)
    play.groups = 1
    play.conduct()
    assert [leg.trial for leg in play.crews[1].handed] == ["t001", "t002", "t003", "t004"]


def test_no_more_trials_are_alive_than_are_allowed_at_once(stage: Callable[..., Stage]) -> None:
    play = stage(search(trials=5, at_once=2), groups=4)
    play.conduct()
    standing, most = Standing(), 0
    for record in play.records():
        standing.add(record)
        most = max(most, len(standing.living))
    assert most == 2


def test_a_search_can_be_extended_and_says_so(stage: Callable[..., Stage]) -> None:
    play = stage(search(trials=2))
    play.conduct()
    play.search = search(trials=3)
    standing = play.conduct()
    assert [opened.trials for opened in play.of(Opened)] == [2, 3]
    assert standing.counts == {TrialState.FINISHED: 3}
    assert [leg.trial for leg in play.crews[1].handed] == ["t003"]


def test_a_search_ends_when_nothing_is_left_to_try(stage: Callable[..., Stage]) -> None:
    space = {"method.p1": {"choice": [0.1, 0.2, 0.3]}}
    standing = stage(search(space=space, trials=9)).conduct()
    assert sorted(t.settings["method.p1"] for t in standing.trials.values()) == [0.1, 0.2, 0.3]
    assert standing.opened is not None
    assert standing.opened.trials == 3
    assert standing.closed is not None


def test_the_work_for_each_record_does_not_grow_with_the_trials(
    stage: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, sentence = [0], Judge.sentence

    def counted(judge: Judge, trial: str) -> Sentence | None:
        asked[0] += 1
        return sentence(judge, trial)

    monkeypatch.setattr(Judge, "sentence", counted)
    per_record = []
    for trials in (10, 100):
        play, asked[0] = stage(search(trials=trials, scheduler=ASHA), groups=4), 0
        play.folder = play.folder.with_name(f"of-{trials}")
        play.conduct()
        per_record.append(asked[0] / len(play.records()))
    assert per_record[1] < 1.5 * per_record[0]


def test_a_trial_whose_line_is_damaged_is_planned_again_and_no_other_takes_its_name(
    stage: Callable[..., Stage],
) -> None:
    play = stage(search())
    with pytest.raises(Killed):
        play.conduct(lines=2 + 3 * (1 + 1 + EPOCHS + 1 + 1))
    settings = {record.trial: record.settings for record in play.of(Planned)}
    file = play.folder / "search.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if not (b'"planned"' in line and b"t002" in line)]
    file.write_bytes(b"".join(kept))
    standing = play.conduct()
    assert sorted(standing.trials) == ["t001", "t002", "t003", "t004"]
    assert {name: standing.trials[name].settings for name in settings} == settings
    assert standing.counts == {TrialState.FINISHED: 4}
