"""Start a network from a float model: torchvision's names, batch norm copied to every bit-width."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from models.float_file import unwrap
from models.layers.norm import SwitchableBatchNorm2d
from models.networks.base import AnyBitNetwork
from models.quantizers.base import ActivationQuantizer, WeightQuantizer

HEAD = "fc."
COUNTER = ".num_batches_tracked"
SCALE = "normalize."
"""The input scale in a float model of ours; the network takes its own from its data set."""
INSERTED = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
"""What wrappers insert into names."""


def load_float_weights(network: AnyBitNetwork, state_dict: Mapping[str, Any]) -> list[str]:
    """Copy a float model's weights into a network and return the names that were left out.

    state_dict: names as in torchvision; may be wrapped ({"state_dict": ...}, {"model": ...}) or
        carry a prefix ("module.", "backbone."). Its batch norm goes into the set of every
        bit-width; clip levels stay, learned steps start from the new weights.

    A linear layer that is missing or has another number of classes is left out, and so is what is
    outside a prefix. Any other name that is missing, unexpected or of another shape raises
    ValueError, and so do values that are not finite; nothing is copied then.
    """
    copied, targets, skipped = _fit(network, state_dict)
    _check_finite(copied)
    with torch.no_grad():
        for name, value in copied.items():
            for target in targets[name]:
                target.copy_(value)
    network.start_quantizers()
    return skipped


def check_float_weights(network: AnyBitNetwork, source: AnyBitNetwork) -> None:
    """Raise ValueError if a network cannot start from the weights that a float one will have.

    Both may be without numbers, on torch's meta device.
    """
    _fit(network, source.state_dict())


def _fit(
    network: AnyBitNetwork, state_dict: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, list[Tensor]], list[str]]:
    """Return what is copied, the tensors that it is copied to, and the names that are left out.

    Raises ValueError if names or shapes differ otherwise.
    """
    targets = _targets(network.backbone)
    own_name = network.backbone.own_name
    state_dict = {own_name(name): value for name, value in unwrap(state_dict).items()}
    if any(".clip_levels." in f".{name}" for name in state_dict):
        raise ValueError("these are the weights of a quantized network, not of a float model")
    source, skipped = _without_prefix(state_dict, targets)
    source = {name: value for name, value in source.items() if not name.startswith(SCALE)}
    skipped += _left_out_head(source, targets)
    mistakes = _mistakes(source, targets, skipped)
    if mistakes:
        raise ValueError(f"the float model does not fit the network: {'; '.join(mistakes)}")
    copied = {name: value for name, value in source.items() if name not in skipped}
    return copied, targets, skipped


def _targets(network: AnyBitNetwork) -> dict[str, list[Tensor]]:
    """Return, for each name in a float model, the tensors it is copied to."""
    kinds = (WeightQuantizer, ActivationQuantizer)
    quantizers = (f"{name}." for name, m in network.named_modules() if isinstance(m, kinds))
    own = (*quantizers, SCALE)
    switched = {name for name, m in network.named_modules() if isinstance(m, SwitchableBatchNorm2d)}
    targets: dict[str, list[Tensor]] = {}
    for name, tensor in network.state_dict().items():
        if name.startswith(own):
            continue
        owner, _, last = name.rpartition(".")
        parent = owner.rpartition(".")[0]
        float_name = f"{parent}.{last}" if parent in switched else name
        targets.setdefault(float_name, []).append(tensor)
    return targets


def _without_prefix(
    source: dict[str, Tensor], targets: dict[str, list[Tensor]]
) -> tuple[dict[str, Tensor], list[str]]:
    """Strip the prefix under which most of the network's names are found.

    Returns the tensors by name, and the names outside the prefix.
    """
    for part in INSERTED:
        source = {name.replace(part, ""): value for name, value in source.items()}
    anchor = next(iter(targets))
    prefixes = {name.removesuffix(anchor) for name in source if f".{name}".endswith(f".{anchor}")}
    found = {prefix: sum(prefix + name in source for name in targets) for prefix in prefixes}
    # Of prefixes with equally many names, the shortest.
    prefix = max(sorted(found, key=len), key=lambda one: found[one], default="")
    inside = {n.removeprefix(prefix): v for n, v in source.items() if n.startswith(prefix)}
    return inside, [name for name in source if not name.startswith(prefix)]


def _left_out_head(source: dict[str, Tensor], targets: dict[str, list[Tensor]]) -> list[str]:
    """Return the names of a linear layer that is missing or has another number of classes."""
    weight = source.get(f"{HEAD}weight")
    if weight is None:
        return [name for name in {**source, **targets} if name.startswith(HEAD)]
    ours = targets[f"{HEAD}weight"][0]
    if weight.dim() != 2 or weight.shape[1] != ours.shape[1] or len(weight) == len(ours):
        return []
    return [name for name in source if name.startswith(HEAD)]


def _mistakes(
    source: dict[str, Tensor], targets: dict[str, list[Tensor]], skipped: list[str]
) -> list[str]:
    # Models saved before torch 0.4.1 do not count their batches.
    missing = [
        n for n in targets if n not in source and n not in skipped and not n.endswith(COUNTER)
    ]
    unexpected = [name for name in source if name not in targets and name not in skipped]
    shapes = [
        f"{name} {tuple(source[name].shape)} instead of {tuple(targets[name][0].shape)}"
        for name in source
        if name in targets and name not in skipped and source[name].shape != targets[name][0].shape
    ]
    found = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    return [f"{len(names)} {what} ({_some(names)})" for what, names in found.items() if names]


def _check_finite(tensors: Mapping[str, Tensor]) -> None:
    """Raise ValueError when a tensor holds values that are not finite."""
    lost = {name: int((~value.isfinite()).sum()) for name, value in tensors.items()}
    bad = [f"{name} ({n} of {tensors[name].numel()})" for name, n in lost.items() if n]
    if bad:
        raise ValueError(
            f"the float model holds values that are not finite, in {len(bad)} of its "
            f"{len(tensors)} tensors: {_some(bad)}"
        )


def _some(names: Iterable[str], shown: int = 3) -> str:
    listed = list(names)
    return ", ".join(listed[:shown]) + ", ..." * (len(listed) > shown)
