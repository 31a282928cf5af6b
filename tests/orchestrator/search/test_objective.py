"""The number by which trials are compared."""

import math

import pytest

from orchestrator.search.objective import mean, objective, rank, spread

POINTS = {"8bit": 92.0, "2bit": 80.0}


@pytest.mark.parametrize(
    ("metric", "value"), [("delta_b", 98.5), ("mean", 86.0), ("worst", 80.0), ("8bit", 92.0)]
)
def test_a_metric_is_found_by_its_name(metric: str, value: float) -> None:
    assert objective(metric, POINTS, 98.5) == value


@pytest.mark.parametrize("metric", ["delta_b", "4bit"])
def test_a_metric_that_a_run_lacks_has_no_value(metric: str) -> None:
    assert objective(metric, POINTS, None) is None


@pytest.mark.parametrize("metric", ["mean", "worst"])
def test_no_points_have_neither_mean_nor_worst(metric: str) -> None:
    assert objective(metric, {}, None) is None


@pytest.mark.parametrize("metric", ["delta_b", "mean", "worst", "8bit"])
@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_point_that_is_not_finite_spoils_every_metric(metric: str, broken: float) -> None:
    assert objective(metric, {**POINTS, "4bit": broken}, 98.5) is None


def test_a_delta_b_that_is_not_finite_is_no_value() -> None:
    assert objective("delta_b", POINTS, math.nan) is None


def test_seeds_have_a_mean_and_a_spread_but_one_alone_has_no_spread() -> None:
    assert mean([1.0, 2.0, 6.0]) == 3.0
    assert spread([2.0, 6.0, 1.0]) == 5.0
    assert spread([2.0]) is None


def test_rank_is_larger_for_the_better_value() -> None:
    assert rank(2.0, "max") > rank(1.0, "max")
    assert rank(1.0, "min") > rank(2.0, "min")
