"""Parameter groups (weights, batch norm, clip levels) and their learning rates."""

import torch

from models.networks.base import AnyBitNetwork, ParameterKind
from orchestrator.job.optimizer import Optimizer

GROUPS: tuple[ParameterKind, ...] = ("shared", "norm", "clip")
"""Weights that all bit-widths share; batch norm parameters and clip levels of each bit-width."""


def build_optimizer(network: AnyBitNetwork, settings: Optimizer) -> torch.optim.SGD:
    """Return SGD over these groups, each with its `base_lr`; a float network has no clip levels.

    With `shared_lr_div` the weights learn at lr / |B|: |B| losses add up on them, one on each
    switched parameter.
    """
    trained = len(network.bit_widths)
    rates: dict[ParameterKind, float] = {
        "shared": settings.lr / trained if settings.shared_lr_div else settings.lr,
        "norm": settings.lr,
        "clip": settings.clip.lr,
    }
    decay: dict[ParameterKind, float] = {
        "shared": settings.weight_decay,
        "norm": settings.weight_decay,
        "clip": settings.clip.weight_decay,
    }
    kinds = network.parameter_kinds()
    groups = [
        {
            "name": name,
            "params": [parameter for _, parameter in kinds[name]],
            "lr": rates[name],
            "base_lr": rates[name],
            "weight_decay": decay[name],
        }
        for name in GROUPS
        if kinds[name]
    ]
    return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum)


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's learning rate to a factor of its own peak."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def learning_rates(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Return the present learning rates by group."""
    return {group["name"]: group["lr"] for group in optimizer.param_groups}
