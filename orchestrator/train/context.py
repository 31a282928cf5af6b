"""Where a rank runs: its peers and its checkpoints."""

import platform
from collections.abc import Mapping
from typing import Protocol

import torch

from orchestrator.errors import UsageError
from orchestrator.store.folder import Folder
from orchestrator.store.run_folder import Reached, RunFolder
from orchestrator.train import run_checkpoints
from orchestrator.train.ranks import Ranks
from orchestrator.train.tidy import tidy


class Context(Protocol):
    """What the training of a rank needs from whatever runs it."""

    ranks: Ranks

    def latest(self) -> Folder | None:
        """Return the last committed checkpoint, the same on every rank."""

    def commit(self, contents: Mapping[str, bytes], at: Reached) -> None:
        """Commit a checkpoint, its files by name. The first rank alone calls this."""


class FolderContext:
    """A rank that finds its checkpoints in the run's folder, which all ranks see."""

    def __init__(self, run: RunFolder, ranks: Ranks, *, keep: int) -> None:
        self.ranks = ranks
        self._run = run
        self._keep = keep

    def latest(self) -> Folder | None:
        """Return the newest whole checkpoint of the run's folder, as rank 0 finds it."""
        return self.ranks.gather(self._find() if self.ranks.is_first else None)[0]

    def _find(self) -> Folder | None:
        if not self._run.job.exists():
            raise UsageError(
                f"{self._run} cannot be seen on {platform.node()}. `output` must be a folder "
                "that all nodes of the cluster share."
            )
        return run_checkpoints.latest(self._run)

    def commit(self, contents: Mapping[str, bytes], at: Reached) -> None:
        """Put a checkpoint among those of the run, and remove old ones."""
        self._run.commit(contents, at)
        tidy(self._run, lambda: self._run.drop_all_but(self._keep))


class RayContext(FolderContext):
    """A worker of Ray Train, which only starts and restarts the workers.

    Checkpoints are not reported to it: it would copy each one and trust a list of its own, kept
    beside the folder in a file that it overwrites in place.
    """

    def __init__(self, run: RunFolder, *, keep: int) -> None:
        import ray.train
        import ray.train.torch

        here = ray.train.get_context()
        device = ray.train.torch.get_device()
        if device.type == "cuda":
            torch.cuda.set_device(device)
        super().__init__(
            run, Ranks(here.get_world_rank(), here.get_world_size(), device), keep=keep
        )
