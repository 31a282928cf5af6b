"""Parameter groups (weights, batch norm, clip levels) and learning rates by epoch (section H)."""

import math

import torch

from models.networks.base import AnyBitNetwork, ParameterKind
from orchestrator.job.schema import Optimizer

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


def relative_rate(settings: Optimizer, epoch: int, epochs: int) -> float:
    """Return the factor of every learning rate in an epoch (0-based) of a run of `epochs`.

    multistep: gamma to the number of milestones passed. cosine: (1 + cos(pi e / E)) / 2.
    """
    if settings.schedule == "multistep":
        return settings.gamma ** sum(epoch >= milestone for milestone in settings.milestones)
    return (1 + math.cos(math.pi * epoch / epochs)) / 2


def set_learning_rates(
    optimizer: torch.optim.Optimizer, settings: Optimizer, epoch: int, epochs: int
) -> dict[str, float]:
    """Set the learning rates of an epoch; return them by group."""
    factor = relative_rate(settings, epoch, epochs)
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor
    return {group["name"]: group["lr"] for group in optimizer.param_groups}
