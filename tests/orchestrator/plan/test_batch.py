import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import UsageError
from orchestrator.plan.batch import divisors, plan_batch


@pytest.mark.parametrize(
    ("workers", "micro_batch", "accumulation"),
    [(1, 180, 16), (2, 180, 8), (8, 180, 2), (16, 180, 1)],
)
def test_the_imagenet_batch_is_shared_evenly(
    workers: int, micro_batch: int, accumulation: int
) -> None:
    plan = plan_batch(2880, workers, 180)
    assert (plan.micro_batch, plan.accumulation) == (micro_batch, accumulation)
    assert plan.sentence() == (
        f"2880 = {workers} workers x {micro_batch} per pass x {accumulation} accumulation"
    )


def test_workers_that_cannot_share_the_batch_are_refused_with_the_nearest_that_can() -> None:
    with pytest.raises(
        UsageError, match=r"7 workers cannot share a global batch of 2880; 6 or 8 can\."
    ):
        plan_batch(2880, 7, 180)


def test_a_huge_batch_is_planned_in_a_moment() -> None:
    start = time.process_time()
    with pytest.raises(UsageError, match=r"3 workers .* 2000000000; 2 or 4 can"):
        plan_batch(2_000_000_000, 3, 64)
    assert plan_batch(2 * 999_999_937, 2, 64).micro_batch == 1  # a prime share
    assert time.process_time() - start < 1


@given(st.integers(1, 5000))
def test_the_divisors_are_those_that_counting_finds(number: int) -> None:
    assert divisors(number) == [n for n in range(1, number + 1) if number % n == 0]


def test_more_workers_than_samples_are_refused() -> None:
    with pytest.raises(UsageError, match="5 workers cannot share a global batch of 4; 4 can"):
        plan_batch(4, 5, 8)


@given(st.integers(1, 64), st.integers(1, 64), st.integers(1, 100))
def test_the_three_factors_make_the_global_batch(workers: int, share: int, largest: int) -> None:
    plan = plan_batch(workers * share, workers, largest)
    assert plan.num_workers * plan.micro_batch * plan.accumulation == plan.global_batch
    assert plan.micro_batch <= largest
