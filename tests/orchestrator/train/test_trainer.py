"""What the workers of a job are given and what they ask of a cluster."""

import os
from collections.abc import Callable

import pytest

os.environ["RAY_TRAIN_V2_ENABLED"] = "1"

from orchestrator.job.schema import Job
from orchestrator.train.trainer import gpus_per_worker


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([{"CPU": 8.0, "GPU": 2.0}], 1),
        ([{"CPU": 8.0, "GPU": 1.0}, {"CPU": 2.0, "GPU": 1.0}], 1),
        ([{"CPU": 8.0, "GPU": 1.0}, {"CPU": 1.0, "GPU": 1.0}], 0),
        ([{"CPU": 2.0, "GPU": 4.0}], 0),
        ([{"CPU": 64.0}], 0),
    ],
)
def test_workers_take_a_gpu_each_where_all_find_one_beside_their_cpus(
    tiny_job: Callable[..., Job], nodes: list[dict[str, float]], expected: int
) -> None:
    job = tiny_job("cluster.num_workers=2", "cluster.loader_workers=1")
    assert gpus_per_worker(job, nodes) == expected
    assert gpus_per_worker(tiny_job("cluster.gpus_per_worker=0"), nodes) == 0
    assert gpus_per_worker(tiny_job("cluster.gpus_per_worker=1"), nodes) == 1
