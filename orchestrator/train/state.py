"""What a run needs to continue exactly where it was, and the checkpoint that holds it."""

import io
import pickle
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from orchestrator.errors import CheckpointMismatch, Diverged
from orchestrator.job.differ import check_unchanged
from orchestrator.job.schema import Job
from orchestrator.job.source import Values
from orchestrator.store.checkpoint import damage
from orchestrator.store.disk import DiskFolder
from orchestrator.store.run_folder import WEIGHTS, Reached
from orchestrator.track.result import PointResult, Result
from orchestrator.train.gradients import ADVICE
from orchestrator.train.ranks import Ranks
from orchestrator.train.samples import Samples
from orchestrator.train.tally import TallyState

STATE = "state.pt"

OptimizerState = dict[str, Any]
"""The state of torch's optimizers."""


@dataclass(frozen=True)
class RankState:
    """What differs between ranks: random generators and running statistics."""

    torch: Tensor
    cuda: Tensor | None
    python: tuple[Any, ...]
    numpy: tuple[str, Tensor, int, int, float]
    buffers: dict[str, Tensor]

    @classmethod
    def of(cls, network: nn.Module) -> "RankState":
        """Return the state of this rank."""
        kind, key, place, has_gauss, gauss = _numpy_state()
        return cls(
            torch=torch.get_rng_state(),
            cuda=torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
            python=random.getstate(),
            numpy=(kind, torch.from_numpy(key.astype(np.int64)), place, has_gauss, gauss),
            buffers={name: value.cpu().clone() for name, value in network.named_buffers()},
        )

    def restore_generators(self) -> None:
        """Let this process draw the rank's next random numbers."""
        torch.set_rng_state(self.torch)
        if self.cuda is not None and torch.cuda.is_available():
            torch.cuda.set_rng_state(self.cuda)
        random.setstate(self.python)
        kind, key, place, has_gauss, gauss = self.numpy
        np.random.set_state((kind, key.numpy().astype(np.uint32), place, has_gauss, gauss))


@dataclass(frozen=True)
class TrainState:
    """The state of a run at a step, except for the weights, which are stored beside it.

    job: what it learns, as plain values.
    at: how much is done. micro_batch: samples that passed at once.
    optimizer, method: what they have learned in the running phase.
    ranks, tallies: of each rank, its generators and statistics, and the sums of the running epoch.
    best, last: the results of the best epoch and of the last one.
    samples: those that the run trains on; None in a checkpoint of an older version.
    """

    job: Values
    at: Reached
    micro_batch: int
    optimizer: OptimizerState
    method: dict[str, Tensor]
    ranks: list[RankState]
    tallies: list[TallyState]
    best: Result | None
    last: Result | None
    samples: Samples | None = None

    def contents(self, network: nn.Module) -> dict[str, bytes]:
        """Return the files of a checkpoint by name.

        They are made in memory: the libraries' own writers do not name the disk's errors.
        """
        buffer = io.BytesIO()
        torch.save(self, buffer)
        weights = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
        return {WEIGHTS: save(weights), STATE: buffer.getvalue()}

    @classmethod
    def read(cls, folder: Path) -> "TrainState":
        """Return a checkpoint's state. Raises CheckpointMismatch for one that cannot be used."""
        if fault := damage(DiskFolder(folder)):
            raise CheckpointMismatch(f"{folder} is damaged: {fault}.")
        with torch.serialization.safe_globals([cls, *_HELD]):
            try:
                state = torch.load(folder / STATE, map_location="cpu", weights_only=True)
            except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
                raise CheckpointMismatch(
                    f"{folder / STATE} cannot be read as a checkpoint ({type(error).__name__})."
                ) from error
        assert isinstance(state, cls)
        return state

    def check_same_job(self, job: Job, where: str) -> None:
        """Raise CheckpointMismatch, with the differences, for a job that learns something else."""
        check_unchanged(self.job, job.as_dict(), where)

    def restore_rank(self, network: nn.Module, ranks: Ranks) -> None:
        """Restore this rank's generators and statistics.

        A run that continues with another number of workers gives each rank the mean of all
        statistics and leaves the generators as they were seeded, since there is not one for each.
        """
        same = ranks.world == len(self.ranks)
        buffers = dict(network.named_buffers())
        kept = self.ranks[ranks.rank].buffers if same else _mean_buffers(self.ranks)
        for name, value in kept.items():
            buffers[name].copy_(value)
        if same:
            self.ranks[ranks.rank].restore_generators()


def _numpy_state() -> tuple[str, NDArray[np.uint32], int, int, float]:
    """Return numpy's global generator: its algorithm, key, position, and cached Gaussian."""
    state = np.random.get_state(legacy=True)
    assert isinstance(state, tuple)
    return state


_HELD = (Reached, RankState, TallyState, Result, PointResult, Samples)
"""The classes that a state consists of, besides plain values and tensors."""


def _mean_buffers(states: list[RankState]) -> dict[str, Tensor]:
    return {
        name: torch.stack([state.buffers[name] for state in states]).mean(dim=0)
        if value.is_floating_point()
        else value
        for name, value in states[0].buffers.items()
    }


def load_weights(folder: Path, network: nn.Module) -> None:
    """Load a checkpoint's weights. Raises CheckpointMismatch for those of another network."""
    try:
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError) as error:
        raise CheckpointMismatch(f"{folder}: the weights cannot be read ({error}).") from error
    except RuntimeError as error:
        raise CheckpointMismatch(
            f"{folder}: these are the weights of another network. {error}"
        ) from None


def check_finite(
    network: nn.Module,
    method: nn.Module,
    optimizer: torch.optim.Optimizer,
    ranks: Ranks,
    at: Reached,
) -> None:
    """Raise Diverged, on every rank, when a number of some rank's state is not finite."""
    found = not_finite(network, method, optimizer)
    lost = next((name for name in ranks.gather(found) if name), None)
    if lost:
        raise Diverged(
            f"{lost} holds numbers that are not finite after {at}; this state was not saved. "
            f"{ADVICE}"
        )


def not_finite(
    network: nn.Module, method: nn.Module, optimizer: torch.optim.Optimizer
) -> str | None:
    """Return what is not finite in weights, statistics, method or optimizer: one name, or None.

    A sum is finite only if all its terms are; the sums are fetched from the device together.
    """
    own = {f"method.{name}": value for name, value in method.state_dict().items()}
    both = network.state_dict() | own
    tensors = {name: value for name, value in both.items() if _floating(value)}
    for group in optimizer.param_groups:
        for name, parameter in zip(group["param_names"], group["params"], strict=True):
            for key, value in optimizer.state.get(parameter, {}).items():
                if _floating(value):
                    tensors[f"the optimizer's {key} of {name}"] = value
    sums = torch.stack([value.detach().sum().double() for value in tensors.values()])
    lost = (~torch.isfinite(sums)).tolist()
    return next((name for name, is_lost in zip(tensors, lost, strict=True) if is_lost), None)


def _floating(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()
