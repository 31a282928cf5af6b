"""Start a network from a float model: torchvision's names, batch norm copied to every bit-width."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.layers.norm import SwitchableBatchNorm2d
from models.networks.base import AnyBitNetwork

HEAD = "fc."
COUNTER = ".num_batches_tracked"


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read a state dict from a .safetensors file, or from one of torch.save's.

    Raises FileNotFoundError, or ValueError for a file that holds no state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no float model at {path}")
    try:
        return _tensors(_read(path))
    except Exception as error:  # whatever a damaged file provokes in either reader
        raise ValueError(f"{path} holds no state dict: {error}") from error


def load_float_weights(network: AnyBitNetwork, state_dict: Mapping[str, Any]) -> list[str]:
    """Copy a float model's weights into a network and return the names that were left out.

    state_dict: names as in torchvision; may be wrapped in {"state_dict": ...} or prefixed with
        "module.". Its batch norm goes into the set of every bit-width; clip levels stay.

    A linear layer of another number of classes is left out. Any other name that is missing,
    unexpected or of another shape raises ValueError, which lists them all; nothing is copied then.
    """
    source = _tensors(state_dict)
    targets = _targets(network.backbone)
    skipped = _other_classes(source, targets)
    mistakes = _mistakes(source, targets, skipped)
    if mistakes:
        raise ValueError("the float model does not fit the network:\n" + "\n".join(mistakes))
    with torch.no_grad():
        for name in source.keys() - set(skipped):
            for target in targets[name]:
                target.copy_(source[name])
    return skipped


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _tensors(state_dict: object) -> dict[str, Tensor]:
    """Unwrap a state dict and strip the prefix of a data-parallel wrapper."""
    if isinstance(state_dict, Mapping) and isinstance(state_dict.get("state_dict"), Mapping):
        state_dict = state_dict["state_dict"]
    if not isinstance(state_dict, Mapping):
        raise ValueError(f"it is a {type(state_dict).__name__}, not a mapping of names to tensors")
    others = [str(name) for name, value in state_dict.items() if not isinstance(value, Tensor)]
    if others:
        raise ValueError(f"not tensors: {', '.join(others)}")
    return {str(name).removeprefix("module."): value for name, value in state_dict.items()}


def _targets(network: AnyBitNetwork) -> dict[str, list[Tensor]]:
    """Return, for each name in a float model, the tensors it is copied to."""
    clip_levels = {name for name, _ in network.parameter_kinds()["clip"]}
    switched = {name for name, m in network.named_modules() if isinstance(m, SwitchableBatchNorm2d)}
    targets: dict[str, list[Tensor]] = {}
    for name, tensor in network.state_dict().items():
        if name in clip_levels:
            continue
        owner, _, last = name.rpartition(".")
        parent = owner.rpartition(".")[0]
        float_name = f"{parent}.{last}" if parent in switched else name
        targets.setdefault(float_name, []).append(tensor)
    return targets


def _other_classes(source: dict[str, Tensor], targets: dict[str, list[Tensor]]) -> list[str]:
    """Return the names of a linear layer that differs in its number of classes only."""
    weight = source.get(f"{HEAD}weight")
    ours = targets[f"{HEAD}weight"][0]
    if weight is None or weight.dim() != 2 or weight.shape[1] != ours.shape[1]:
        return []
    if len(weight) == len(ours):
        return []
    return [name for name in source if name.startswith(HEAD)]


def _mistakes(
    source: dict[str, Tensor], targets: dict[str, list[Tensor]], skipped: list[str]
) -> list[str]:
    # Models saved before torch 0.4.1 do not count their batches.
    missing = [n for n in targets if n not in source and not n.endswith(COUNTER)]
    unexpected = [name for name in source if name not in targets]
    shapes = [
        f"{name}: shape {tuple(source[name].shape)}, expected {tuple(targets[name][0].shape)}"
        for name in source
        if name in targets and name not in skipped and source[name].shape != targets[name][0].shape
    ]
    return [f"{n}: missing" for n in missing] + [f"{n}: unexpected" for n in unexpected] + shapes
