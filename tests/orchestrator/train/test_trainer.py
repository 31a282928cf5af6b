"""What the workers of a job are given and what they ask of a cluster."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ["RAY_TRAIN_V2_ENABLED"] = "1"

from orchestrator.job.schema import Job
from orchestrator.store.run_folder import RunFolder
from orchestrator.train.trainer import build_trainer, gpus_per_worker
from orchestrator.train.worker import Run


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


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_ray_train_starts_no_process_that_a_run_does_not_need(
    tiny_job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.nodes", lambda: [{"Alive": True, "Resources": {"CPU": 4.0}}])
    trainer = build_trainer(tiny_job(), Run(RunFolder(tmp_path / "tiny-1")))
    kinds = {type(callback).__name__ for callback in trainer._create_default_callbacks()}
    assert {"BackendSetupCallback", "UserCallbackHandler"} <= kinds
    assert not {"DatasetsCallback", "PlacementGroupCleanerCallback"} & kinds
