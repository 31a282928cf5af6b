"""The paper's ImageNet job on real photographs, reduced by --set alone, on two ranks."""

from functools import partial
from pathlib import Path

import pytest

from orchestrator.job.load import load_job
from orchestrator.job.source import dump
from orchestrator.run_facts import finished_in
from orchestrator.store.run_folder import RunFolder
from orchestrator.train.worker import Run
from tests.orchestrator.train.rank_programs import run_ranks, train_whole_run
from tests.real_data import real_data

JOB = Path(__file__).parents[3] / "jobs" / "imagenet_r18.yaml"


@pytest.mark.real
def test_imagenet_r18_trains_an_epoch_of_240_by_accumulation(tmp_path: Path) -> None:
    smaller = [
        f"data.root={real_data() / 'imagenet10'}",
        *("data.crop=48", "data.resize=56", "data.limit_val=40"),
        *("start.from=scratch", "model.widths=[16,32,64,128]"),
        *("training.epochs=1", "training.global_batch=240"),
        *("cluster.num_workers=2", "cluster.max_batch_per_worker=8"),
    ]
    folder = RunFolder(tmp_path / "run")
    folder.make()
    folder.job.write(dump(load_job(JOB, smaller).job.as_dict()))
    run_ranks(2, tmp_path / "ranks", partial(train_whole_run, Run(folder)))
    end = finished_in(folder)
    assert end.step == 1
    assert [row.point for row in end.rows] == ["8bit", "6bit", "4bit", "2bit"]
    assert all(row.metric in {2.5 * right for right in range(41)} for row in end.rows)
