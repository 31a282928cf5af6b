"""A finished run of a tiny network at three bit-widths."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from orchestrator.job.schema import Job
from orchestrator.store.run_folder import RunFolder
from orchestrator.train.worker import Run, Worker


@pytest.fixture
def finished(
    tiny_job: Callable[..., Job], tmp_path: Path, folder_context: Any
) -> Callable[..., tuple[Job, Path]]:
    """Train the tiny job, changed; return it and its folder, arranged as on a cluster."""
    torch.set_num_threads(1)

    def train(*overrides: str) -> tuple[Job, Path]:
        job = tiny_job("training.epochs=1", "quantizer.bit_widths=[4, 3, 2]", *overrides)
        folder = tmp_path / "tiny-1"
        folder.mkdir()
        Worker(job, Run(RunFolder(folder)), folder_context(folder)).run()
        for number, kept in enumerate(sorted(folder.glob("checkpoint-*")), start=1):
            kept.rename(folder / f"checkpoint_p01_e{number:04d}_s000000")
        (folder / "job.yaml").write_text(yaml.safe_dump(job.as_dict()))
        return job, folder

    return train
