"""Save and restore everything a run needs to go on exactly where it was.

A checkpoint is a folder: `model.safetensors` holds the weights by name, `state.pt` the rest:
optimizer, position, every rank's random generators and batch-norm statistics, the sums of the
running epoch, the results so far, the job and the MLflow run. A folder is committed by Ray Train
after it is complete, so a kill in the middle leaves the one before whole.
"""

import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from orchestrator.errors import CheckpointMismatch
from orchestrator.spec.compare import differences

FORMAT = 1


def write_checkpoint(folder: Path, network: nn.Module, state: Mapping[str, Any]) -> None:
    """Write a checkpoint into a new folder."""
    folder.mkdir(parents=True)
    weights = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    save_file(weights, folder / "model.safetensors")
    torch.save({"format": FORMAT, **state}, folder / "state.pt")


def not_finite(network: nn.Module, optimizer: torch.optim.Optimizer) -> str | None:
    """Return what is not finite in weights, statistics or optimizer: one name, or None.

    A sum is finite only if all its terms are; the sums are fetched from the device together.
    """
    tensors = {name: value for name, value in network.state_dict().items() if _floating(value)}
    for group in optimizer.param_groups:
        for number, parameter in enumerate(group["params"]):
            for key, value in optimizer.state.get(parameter, {}).items():
                if _floating(value):
                    tensors[f"{key} {number} of the optimizer's {group['name']} group"] = value
    sums = torch.stack([value.detach().sum().double() for value in tensors.values()])
    lost = (~torch.isfinite(sums)).tolist()
    return next((name for name, is_lost in zip(tensors, lost, strict=True) if is_lost), None)


def _floating(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def read_state(folder: Path) -> dict[str, Any]:
    """Return a checkpoint's state. Raises CheckpointMismatch for one of another version."""
    state: dict[str, Any] = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
    if state.get("format") != FORMAT:
        raise CheckpointMismatch(
            f"{folder}: written by another version of orch (format {state.get('format')}, "
            f"expected {FORMAT})."
        )
    return state


def check_same_job(state: Mapping[str, Any], job: Mapping[str, Any], where: Path) -> None:
    """Raise CheckpointMismatch, listing the differences, when the job learns something else."""
    found = differences(state["job"], dict(job))
    if found:
        listed = "\n".join(f"  {line}" for line in found)
        raise CheckpointMismatch(
            f"{where}: this checkpoint belongs to a job with other settings:\n{listed}\n"
            "Take these back, or submit the job as a new run."
        )


def load_weights(folder: Path, network: nn.Module) -> None:
    """Load a checkpoint's weights. Raises CheckpointMismatch for those of another network."""
    try:
        network.load_state_dict(load_file(folder / "model.safetensors"))
    except RuntimeError as error:
        raise CheckpointMismatch(
            f"{folder}: these are the weights of another network. {error}"
        ) from None


def keep_as_best(folder: Path, run_dir: Path, epoch: int) -> None:
    """Copy a checkpoint to `best-epoch-NNNN` (from 1 on) in place of the one kept before."""
    target = run_dir / f"best-epoch-{epoch + 1:04d}"
    scratch = run_dir / f".{target.name}"
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(folder, scratch)
    shutil.rmtree(target, ignore_errors=True)
    scratch.rename(target)
    for old in run_dir.glob("best-epoch-*"):
        if old != target:
            shutil.rmtree(old)


def sweep(run_dir: Path) -> None:
    """Remove what a kill in the middle of a save left behind."""
    for pattern in (".checkpoint-*", ".best-epoch-*"):
        for folder in run_dir.glob(pattern):
            shutil.rmtree(folder, ignore_errors=True)


def rank_state(network: nn.Module) -> dict[str, Any]:
    """Return what differs between ranks: random generators and running statistics."""
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        "python": random.getstate(),
        "numpy": _plain_generator(np.random.get_state(legacy=False)),
        "buffers": {name: value.cpu().clone() for name, value in network.named_buffers()},
    }


def restore_rank(
    network: nn.Module, states: list[dict[str, Any]], *, rank: int, world: int
) -> None:
    """Restore this rank's generators and statistics.

    A run that goes on with another number of workers gives each rank the mean of all statistics
    and leaves the generators as they were seeded: there are not as many as ranks.
    """
    same = world == len(states)
    buffers = dict(network.named_buffers())
    for name, value in (states[rank]["buffers"] if same else _mean_buffers(states)).items():
        buffers[name].copy_(value)
    if same:
        _restore_generators(states[rank])


def _restore_generators(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    kept = state["numpy"]
    inner = {"key": kept["key"].numpy().astype(np.uint32), "pos": kept["pos"]}
    np.random.set_state({**kept["rest"], "state": inner})


def _plain_generator(state: Any) -> dict[str, Any]:
    """Return numpy's generator state as a tensor and plain values."""
    rest = {key: value for key, value in state.items() if key != "state"}
    key = torch.from_numpy(state["state"]["key"].astype(np.int64))
    return {"key": key, "pos": int(state["state"]["pos"]), "rest": rest}


def _mean_buffers(states: list[dict[str, Any]]) -> dict[str, Tensor]:
    mean: dict[str, Tensor] = {}
    for name, value in states[0]["buffers"].items():
        if value.is_floating_point():
            mean[name] = torch.stack([state["buffers"][name] for state in states]).mean(dim=0)
        else:
            mean[name] = value
    return mean
