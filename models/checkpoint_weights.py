"""Start a network from the weights of another one that was trained at some of its precisions."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def load_checkpoint_weights(network: nn.Module, trained: Mapping[str, Tensor]) -> list[str]:
    """Copy the weights of a trained network; return the precisions that it was not trained at.

    For these, batch norm, clip levels and steps keep their initial values; those of precisions
    that `network` does not run at are ignored. Any other difference raises ValueError; nothing is
    copied then.
    """
    own = network.state_dict()
    switches = [
        f"{name}." for name, m in network.named_modules() if isinstance(m, _BY_PRECISION) and name
    ]
    ours, theirs = (
        {name: _precision(name, switches) for name in names} for names in (own, trained)
    )
    both = set(ours.values()) & set(theirs.values()) | {None}
    missing = [name for name, at in ours.items() if name not in trained and at in both]
    unexpected = [name for name, at in theirs.items() if name not in own and at in both]
    shapes = [
        f"{name} {tuple(trained[name].shape)} instead of {tuple(value.shape)}"
        for name, value in own.items()
        if name in trained and trained[name].shape != value.shape
    ]
    found = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    mistakes = [f"{len(names)} {what} ({_some(names)})" for what, names in found.items() if names]
    if mistakes:
        raise ValueError(f"these are the weights of another network: {'; '.join(mistakes)}")
    with torch.no_grad():
        for name in own.keys() & trained.keys():
            own[name].copy_(trained[name])
    return [at for at in dict.fromkeys(ours.values()) if at is not None and at not in both]


_BY_PRECISION = (nn.ModuleDict, nn.ParameterDict)
"""Modules that hold something for each precision, under its name."""


def _precision(name: str, switches: list[str]) -> str | None:
    """Return the precision that a tensor belongs to; None when all share it."""
    inside = next((name.removeprefix(one) for one in switches if name.startswith(one)), None)
    return inside.partition(".")[0] if inside else None


def _some(names: list[str], shown: int = 3) -> str:
    return ", ".join(names[:shown]) + ", ..." * (len(names) > shown)
