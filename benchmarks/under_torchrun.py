"""A worker of a run under torchrun, without Ray and without a record.

    torchrun --nproc-per-node 2 -m benchmarks.under_torchrun FOLDER

FOLDER: a run's folder with its `job.yaml`. `saves.json` in it then holds the seconds that training
waited for each checkpoint in the midst of an epoch.
"""

import json
import os
import sys
import time
from contextlib import suppress

import torch.distributed as dist

from orchestrator.job.load import load_job
from orchestrator.store.run_folder import RunFolder
from orchestrator.train.context import FolderContext
from orchestrator.train.numerics import set_numerics
from orchestrator.train.ranks import Ranks
from orchestrator.train.worker import Run, Worker


class Timed(Worker):
    """A worker that notes how long its checkpoints take."""

    saves: list[float]

    def _save(self, *, is_best: bool = False) -> None:
        start = time.perf_counter()
        super()._save(is_best=is_best)
        if self.at.step not in (0, self.steps):
            self.saves.append(time.perf_counter() - start)


def main(path: str) -> None:
    """Train the job in a folder to its end, as one of the ranks."""
    folder = RunFolder(path)
    with folder.job.here() as file:
        job = load_job(file).job
    set_numerics(job.training)
    dist.init_process_group("gloo")
    ranks = Ranks(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    worker = Timed(job, Run(folder), FolderContext(folder, ranks, keep=job.checkpoint.keep))
    worker.saves = []
    worker.run()
    if ranks.is_first:
        folder.file("saves.json").write(json.dumps(worker.saves))
    dist.barrier()
    with suppress(RuntimeError):
        dist.destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1])
