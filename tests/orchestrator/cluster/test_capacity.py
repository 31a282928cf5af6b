"""Whether workers fit, counted by hand."""

import pytest

from orchestrator.cluster.capacity import Capacity, Demand, Node, check
from orchestrator.errors import UsageError


def cluster(*sizes: tuple[float, float], grows: bool = False) -> Capacity:
    return Capacity(tuple(Node("n", cpus, gpus) for cpus, gpus in sizes), grows)


def wants(workers: int, loaders: int = 0, gpus: int = 0, batch: int = 2880) -> Demand:
    return Demand(workers, loaders, gpus, batch)


@pytest.mark.parametrize(
    ("demand", "capacity", "slots"),
    [
        (wants(2), cluster((2, 0)), 2),
        (wants(2, loaders=2), cluster((8, 0)), 2),
        (wants(2, loaders=2), cluster((2, 0), (2, 0)), 0),
        (wants(8, loaders=3, gpus=1), cluster((32, 4), (8, 4)), 6),
    ],
)
def test_a_worker_must_fit_on_one_node(demand: Demand, capacity: Capacity, slots: int) -> None:
    assert capacity.slots(demand) == slots


def test_a_job_that_fits_passes() -> None:
    check(wants(2), cluster((2, 0)), "This machine")


def test_a_cluster_that_grows_is_not_judged() -> None:
    check(wants(100), cluster((1, 0), grows=True), "The cluster")


@pytest.mark.parametrize(
    ("demand", "capacity", "advice"),
    [
        (wants(2, loaders=4), cluster((4, 0)), "--set cluster.loader_workers=1"),
        (wants(8), cluster((7, 0)), "--set cluster.num_workers=6"),
        (
            wants(4, loaders=2),
            cluster((2, 0)),
            "--set cluster.num_workers=2 --set cluster.loader_workers=0",
        ),
        (wants(2, gpus=1), cluster((4, 0)), "--set cluster.gpus_per_worker=0"),
        (
            wants(8, gpus=1),
            cluster((4, 0)),
            "--set cluster.gpus_per_worker=0 --set cluster.num_workers=4",
        ),
        (wants(1), cluster(), "Add nodes"),
    ],
)
def test_a_job_that_cannot_fit_is_refused_with_what_would(
    demand: Demand, capacity: Capacity, advice: str
) -> None:
    with pytest.raises(UsageError, match=r"This machine \(\d node") as refused:
        check(demand, capacity, "This machine")
    assert str(refused.value).endswith(advice) or advice in str(refused.value)
