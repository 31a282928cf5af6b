from orchestrator.search.importance import importance
from orchestrator.search.level import Reached, comparable
from orchestrator.search.records import Began, Opened, Planned, Record, Reported
from orchestrator.search.standing import Standing
from tests.orchestrator.search.searched import KEYS, searched


def standing(epochs: list[int], seeds: int = 2) -> Standing:
    records: list[Record] = [
        Opened(0.0, "s", "2bit", "max", ("p1",), (), 4, seeds, "asha", "prior", 9, 1)
    ]
    for number, last in enumerate(epochs):
        records.append(Planned(0.0, f"t{number}", {"p1": number}, "near"))
        for seed in range(1, seeds + 1):
            records.append(Began(0.0, f"t{number}s{seed}", "group", 1))
            records += [
                Reported(
                    0.0, f"t{number}s{seed}", epoch, epoch, {"2bit": 10.0 * epoch + seed}, None
                )
                for epoch in range(1, last + 1)
            ]
    return Standing.of(records)


def test_trials_are_compared_after_the_last_epoch_that_half_of_them_reached() -> None:
    level = comparable(standing([1, 3, 9, 9, 0]))
    assert level.epoch == 9
    level = comparable(standing([1, 1, 3, 9]))
    assert (level.epoch, [one.trial for one in level.trials]) == (3, ["t2", "t3"])
    assert level.trials[0] == Reached("t2", {"p1": 2}, 31.5, {"2bit": 31.5})


def test_nothing_is_comparable_before_the_first_report() -> None:
    assert comparable(standing([0, 0])).trials == []


def test_the_key_that_decides_matters_most_and_one_that_does_nothing_does_not() -> None:
    trials = comparable(searched(100)).trials
    shares = importance(trials, KEYS, ["method.lambda", "optimizer.clip.lr"])
    assert list(shares)[:2] == ["method.teacher_mode", "method.lambda"]
    assert shares["method.lambda"] > 0.4
    assert shares["method.p1"] < 0.1


def test_a_best_value_in_the_middle_is_seen() -> None:
    trials = [Reached("t", {"x": n % 3}, 90 - abs(n % 3 - 1) + n / 1000, {}) for n in range(30)]
    assert importance(trials, ["x"], [])["x"] > 0.6


def test_few_trials_say_nothing() -> None:
    trials = [Reached("t", {"x": n}, float(n), {}) for n in range(3)]
    assert importance(trials, ["x", "absent"], []) == {"x": 0.0, "absent": 0.0}
