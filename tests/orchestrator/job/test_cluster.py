"""How many workers a job may have, and what it says of numbers that it cannot."""

from collections.abc import Callable

import pytest

from orchestrator.errors import JobFileError
from orchestrator.job.schema import Job, job_from_dict


def test_a_range_of_workers_is_kept_and_gives_a_plan_for_each_number_that_shares_the_batch(
    tiny_job: Callable[..., Job],
) -> None:
    job = tiny_job("cluster.num_workers={min: 2, max: 5}", "training.global_batch=12")
    assert job.as_dict()["cluster"]["num_workers"] == {"min": 2, "max": 5}
    assert job_from_dict(job.as_dict()) == job
    assert [plan.num_workers for plan in job.plans] == [2, 3, 4]
    assert (job.cluster.least, job.cluster.most, job.cluster.counted) == (2, 5, "2 to 5")


@pytest.mark.parametrize(
    "given",
    [
        *("0", "true", "1.5", "two", "[1, 2]", "{min: 3, max: 2}", "{min: 1}"),
        *("{min: 0, max: 2}", "{min: 1, max: 2, step: 1}", "{min: 1, max: 10001}"),
    ],
)
def test_what_is_no_number_of_workers_is_one_clear_mistake(
    tiny_job: Callable[..., Job], given: str
) -> None:
    with pytest.raises(JobFileError) as refused:
        tiny_job(f"cluster.num_workers={given}")
    [line] = refused.value.mistakes
    assert "cluster.num_workers: expected a whole number from 1 to 10000, or two, as {" in line


def test_a_range_in_which_no_number_shares_the_batch_names_those_that_do(
    tiny_job: Callable[..., Job],
) -> None:
    with pytest.raises(
        JobFileError, match=r"no number of workers from 5 to 7 .* batch of 16; 4 or"
    ):
        tiny_job("cluster.num_workers={min: 5, max: 7}", "training.global_batch=16")


def test_a_search_has_groups_of_a_fixed_number(tiny_job: Callable[..., Job]) -> None:
    with pytest.raises(
        JobFileError, match=r"cluster\.num_workers: the trials of a search have a fix"
    ):
        tiny_job(
            *("cluster.num_workers={min: 1, max: 2}", "training.global_batch=12"),
            *("search.space.optimizer.lr={grid: [0.1, 0.2]}", "search.searcher={name: grid}"),
        )
