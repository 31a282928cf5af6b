"""Whether Optuna's TPE learns from the history of a search."""

import pytest

from orchestrator.job.search import Search
from orchestrator.search.records import TrialState
from orchestrator.search.searchers import Searcher, searcher_of
from orchestrator.search.space import Space
from orchestrator.search.trial import Trial, trial_name

AXES = {
    "lambda": {"loguniform": [1e-4, 1.0]},
    "alpha": {"choice": [2, 4, 8]},
    "p1": {"uniform": [0, 1], "step": 0.1},
}


def made(direction: str = "max") -> Searcher:
    section = {"name": "optuna"}
    search = Search(space=AXES, trials=50, direction=direction, searcher=section)  # type: ignore[arg-type]
    return searcher_of(search, Space(search.space, {}), seed=0)


def history(sign: int) -> list[Trial]:
    """Return trials that are the better the larger lambda is, at 2 and with a small p1."""
    trials = []
    for number in range(40):
        power, alpha, p1 = -4 * (number * 7 % 40) / 39, (2, 4, 8)[number % 3], (number % 10) / 10
        value = sign * (power - alpha - 3 * p1)
        trials.append(
            Trial(
                trial_name(number),
                {"lambda": 10**power, "alpha": alpha, "p1": p1},
                "tpe",
                TrialState.FINISHED,
                value=value,
                epoch=9,
            )
        )
    return trials


@pytest.mark.parametrize(("direction", "sign"), [("max", 1), ("min", -1)])
def test_it_moves_to_where_trials_are_good(direction: str, sign: int) -> None:
    searcher, known = made(direction), history(sign)
    found = [searcher.suggest(number, known) for number in range(40, 80)]
    settings = [proposal.settings for proposal in found if proposal]
    assert sum(one["alpha"] == 2 for one in settings) > 25
    assert sum(one["p1"] < 0.5 for one in settings) > 25
    assert sum(one["lambda"] > 1e-2 for one in settings) > 25


def test_trials_that_were_stopped_rank_by_how_far_they_came() -> None:
    """The values alone would say that 8 is the best."""
    trials = [
        Trial(
            trial_name(number),
            {"lambda": 0.01, "alpha": (2, 4, 8)[number % 3], "p1": 0.5},
            "tpe",
            TrialState.STOPPED_EARLY,
            value=(70.0, 80.0, 90.0)[number % 3],
            epoch=(6, 3, 1)[number % 3],
        )
        for number in range(30)
    ]
    found = [made().suggest(number, trials) for number in range(40, 80)]
    alphas = [proposal.settings["alpha"] for proposal in found if proposal]
    assert alphas.count(2) > 25
