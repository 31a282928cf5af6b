"""Save and restore everything a run needs to go on exactly where it was.

A checkpoint is a folder: `model.safetensors` holds the weights by name, `state.pt` the rest:
optimizer, position, every rank's random generators and batch-norm statistics, the sums of the
running epoch, the results so far, the job and the MLflow run. `manifest.json`, written last, holds
the size and the checksum of both, and its own: what is torn, lost or changed is noticed before use.
"""

import io
import json
import pickle
import random
import shutil
from collections.abc import Iterator, Mapping
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from orchestrator.errors import CheckpointMismatch
from orchestrator.files import write_whole
from orchestrator.job.differ import differences
from orchestrator.store.run_folder import WEIGHTS
from orchestrator.strict_json import dumps

FORMAT = 2
MANIFEST = "manifest.json"


def write_checkpoint(folder: Path, network: nn.Module, state: Mapping[str, Any]) -> None:
    """Write a checkpoint into a new folder, onto the disk. Raises OSError; then nothing stays."""
    folder.mkdir(parents=True)
    try:
        files = {}
        for name, content in _contents(network, state):
            write_whole(folder / name, content)
            files[name] = {"bytes": len(content), "sha256": sha256(content).hexdigest()}
        manifest = {"format": FORMAT, "files": files}
        write_whole(folder / MANIFEST, dumps({**manifest, "sha256": _digest(manifest)}, indent=1))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _contents(network: nn.Module, state: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Yield each file's name and content, made in memory: the writers' own errors name no cause."""
    weights = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    yield WEIGHTS, save(weights)
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    yield "state.pt", buffer.getvalue()


def damage(folder: Path) -> str | None:
    """Return what is wrong with a checkpoint's files, or None when they are as they were written.

    Raises CheckpointMismatch for those of another version.
    """
    manifest = _manifest(folder)
    if manifest is None:
        return f"its {MANIFEST} is missing or not what was written"
    _check_format(folder, manifest["format"])
    for name, expected in manifest["files"].items():
        try:
            with (folder / name).open("rb") as file:
                found = file_digest(file, "sha256").hexdigest()
                size = file.tell()
        except OSError as error:
            return f"{name}: {error.strerror}"
        if size != expected["bytes"]:
            return f"{name} has {size} bytes instead of {expected['bytes']}"
        if found != expected["sha256"]:
            return f"{name} is not what was written (its checksum differs)"
    return None


def _manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a checkpoint; None for one that its own checksum does not fit."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
        return manifest if manifest.pop("sha256") == _digest(manifest) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _digest(manifest: Mapping[str, Any]) -> str:
    return sha256(dumps(manifest).encode()).hexdigest()


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
    """Return a checkpoint's state. Raises CheckpointMismatch for one that cannot be used."""
    file = folder / "state.pt"
    try:
        state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
        reason = type(error).__name__
        raise CheckpointMismatch(f"{file} cannot be read as a checkpoint ({reason}).") from error
    _check_format(folder, state.get("format"))
    return state


def _check_format(folder: Path, found: object) -> None:
    if found != FORMAT:
        raise CheckpointMismatch(
            f"{folder}: written by another version of orch (format {found}, expected {FORMAT})."
        )


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
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError) as error:
        raise CheckpointMismatch(f"{folder}: the weights cannot be read ({error}).") from error
    except RuntimeError as error:
        raise CheckpointMismatch(
            f"{folder}: these are the weights of another network. {error}"
        ) from None


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
