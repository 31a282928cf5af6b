"""The median stopping rule on small tables."""

from orchestrator.job.search import Median as Section
from orchestrator.search.median import Median


def rule(grace: int = 1, least: int = 2, direction: str = "max") -> Median:
    return Median(Section(name="median", grace=grace, least=least), epochs=9, direction=direction)


def test_the_best_value_so_far_is_compared_with_the_median_of_running_means() -> None:
    median = rule(least=3)
    for trial, values in {"a": (10, 20), "b": (30, 50), "c": (80, 90)}.items():
        for epoch, value in enumerate(values, start=1):
            assert median.verdict(trial, epoch, value) == ""
    # Running means after epoch 2: 15, 40, 85.
    assert median.verdict("d", 1, 39.0) == ""
    assert (
        median.verdict("d", 2, 1.0) == "1.00 after epoch 2 is worse than the median 40.00 (median)"
    )
    assert median.verdict("e", 1, 41.0) == ""
    assert median.verdict("e", 2, 1.0) == ""


def test_too_few_others_stop_nobody() -> None:
    median = rule(least=2)
    median.verdict("a", 1, 90.0)
    assert median.verdict("b", 1, 10.0) == ""
    assert median.verdict("c", 1, 10.0) != ""


def test_the_epochs_of_grace_count_in_the_means_but_stop_nobody() -> None:
    median = rule(grace=2, least=1)
    for epoch, value in ((1, 10.0), (2, 90.0)):
        median.verdict("a", epoch, value)
    assert median.verdict("b", 1, 5.0) == ""
    assert "the median 50.00" in median.verdict("b", 2, 49.0)


def test_with_min_the_lower_value_is_better() -> None:
    median = rule(least=1, direction="min")
    median.verdict("a", 1, 10.0)
    assert median.verdict("b", 1, 9.0) == ""
    assert "the median 9.50" in median.verdict("c", 1, 11.0)
