"""Where a rank runs: who the others are, where checkpoints go. Ray Train, or one process alone."""

import logging
from pathlib import Path
from typing import Any, Protocol

import torch

from orchestrator.train import snapshot
from orchestrator.train.ranks import Ranks


class Context(Protocol):
    """What the training of a rank asks of whatever runs it."""

    ranks: Ranks

    def latest(self) -> Path | None:
        """Return the folder of the last committed checkpoint."""

    def commit(self, metrics: dict[str, Any], folder: Path | None) -> None:
        """Commit a checkpoint folder (rank 0's; None elsewhere) and wait for all ranks.

        The folder is moved away. Every rank must call this equally often.
        """


class RayContext:
    """A worker of Ray Train."""

    def __init__(self) -> None:
        import ray.train
        import ray.train.torch

        logging.getLogger("ray.train").setLevel(logging.WARNING)  # it prints every report whole
        here = ray.train.get_context()
        device = ray.train.torch.get_device()
        if device.type == "cuda":
            torch.cuda.set_device(device)
        self.ranks = Ranks(here.get_world_rank(), here.get_world_size(), device)

    def latest(self) -> Path | None:
        """Return the folder of the last committed checkpoint."""
        import ray.train

        checkpoint = ray.train.get_checkpoint()
        return None if checkpoint is None else Path(checkpoint.path)

    def commit(self, metrics: dict[str, Any], folder: Path | None) -> None:
        """Report to Ray Train, which copies the folder and then counts it as the latest."""
        import ray.train

        checkpoint = None
        if folder is not None:
            snapshot.keep(folder.parent)
            checkpoint = ray.train.Checkpoint.from_directory(folder)
        ray.train.report(metrics, checkpoint=checkpoint, delete_local_checkpoint_after_upload=True)
