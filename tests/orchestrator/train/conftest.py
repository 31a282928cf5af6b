from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from orchestrator.job.schema import Job
from orchestrator.store.run_folder import Reached, RunFolder
from orchestrator.track.delta_b import ReferenceResults
from orchestrator.train.state import RankState, TrainState
from orchestrator.train.worker import Run, Worker


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Tensors this small gain nothing from a second thread, and waiting for it costs seconds."""
    torch.set_num_threads(1)


@pytest.fixture
def run(tmp_path: Path, folder_context: Any) -> Callable[..., Worker]:
    """Run a job in a folder, until it ends or stops; return the worker."""

    def go(job: Job, name: str = "run", reference: ReferenceResults | None = None) -> Worker:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        context = folder_context(folder)
        worker = Worker(job, Run(RunFolder(folder), reference=reference), context)
        worker.recorder = context
        worker.run()
        return worker

    return go


@pytest.fixture
def make_state() -> Callable[..., TrainState]:
    """Make the state of a network's run at its start, with some values changed."""

    def make(network: nn.Module, **changes: object) -> TrainState:
        values = {
            "job": {"name": "tiny"},
            "at": Reached(0, 0, 0),
            "micro_batch": 4,
            "optimizer": {},
            "method": {},
            "ranks": [RankState.of(network)],
            "tallies": [],
            "best": None,
            "last": None,
        }
        return TrainState(**(values | changes))  # type: ignore[arg-type]

    return make
