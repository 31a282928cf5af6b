"""Why a search failed, in words."""

from orchestrator.search.failures import nothing_finished, too_many_failed
from orchestrator.search.records import Ended, Opened, Planned, Record, TrialState
from orchestrator.search.standing import Standing

LOSS = "The loss is not finite at step 3."


def standing(*ends: tuple[TrialState, str]) -> Standing:
    records: list[Record] = [
        Opened(0.0, "s", "2bit", "max", ("method.lambda", "a.lr"), (), 9, 1, "none", "random", 2, 2)
    ]
    for number, (state, reason) in enumerate(ends, start=1):
        settings = {"method.lambda": 0.123456, "optimizer.clip.lr": number}
        records.append(Planned(1.0, f"t00{number}", settings, "anywhere"))
        records.append(Ended(2.0, f"t00{number}", state, None, None, {}, None, 0, 0, reason))
    return Standing.of(records)


FAILED, FINISHED, EARLY = TrialState.FAILED, TrialState.FINISHED, TrialState.STOPPED_EARLY


def test_equal_reasons_are_counted_after_the_first_trial_that_had_them() -> None:
    found = standing((FAILED, LOSS), (FINISHED, ""), (FAILED, "killed"), (FAILED, LOSS))
    assert too_many_failed(found, 4) == ""
    assert too_many_failed(found, 3) == (
        "3 of 4 trials failed, search.max_failed = 3 allows no more. "
        f"t001 (lambda 0.1235, lr 1): {LOSS} (x2); t003 (lambda 0.1235, lr 3): killed"
    )


def test_one_finished_trial_makes_a_search() -> None:
    assert nothing_finished(standing((FAILED, LOSS), (FINISHED, ""))) == ""


def test_without_a_finished_trial_a_search_has_failed() -> None:
    assert nothing_finished(standing((FAILED, "killed"), (EARLY, "worse"))) == (
        "No trial finished (1 stopped early, 1 failed). t001 (lambda 0.1235, lr 1): killed"
    )
    assert nothing_finished(standing()) == "No trial finished (none was tried)."
