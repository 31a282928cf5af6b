import pytest

from orchestrator.plan.workers import cpus_per_worker, room_for


def test_a_worker_has_a_cpu_for_itself_and_one_for_each_process_that_loads() -> None:
    assert [cpus_per_worker(loaders) for loaders in (0, 4)] == [1, 5]


@pytest.mark.parametrize(
    ("cpus", "gpus", "gpus_each", "workers"),
    [
        (16.0, 0.0, 0, 5),
        (16.0, 4.0, 1, 4),
        (16.0, 8.0, 1, 5),
        (16.0, 3.0, 2, 1),
        (2.0, 8.0, 1, 0),
        (16.0, 0.0, 1, 0),
    ],
)
def test_workers_find_room_where_all_that_they_need_is_on_one_machine(
    cpus: float, gpus: float, gpus_each: int, workers: int
) -> None:
    assert room_for(cpus, gpus, cpus_each=3, gpus_each=gpus_each) == workers
