"""A job's optimizer: the parameters in groups, one for each role, with their rates and decay."""

from collections.abc import Callable, Sequence

import torch

from models.roles import ROLES, NamedParameter
from orchestrator.job.optimizer import Optimizer

_TORCH: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}


def build_optimizer(
    named: Sequence[NamedParameter], settings: Optimizer, *, losses: int
) -> torch.optim.Optimizer:
    """Return an optimizer with a group for each role, whose `base_lr` is the peak of its rate.

    losses: how many a step adds up, one for each operating point that it trains (|B|).
    """
    groups = [
        {
            "name": role,
            "params": [(one.name, one.parameter) for one in named if one.role == role],
            "lr": settings.lr_of(role, losses),
            "base_lr": settings.lr_of(role, losses),
            "weight_decay": settings.weight_decay_of(role),
        }
        for role in ROLES
        if any(one.role == role for one in named)
    ]
    return _TORCH[settings.name](groups, lr=settings.lr, **settings.own())


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's learning rate to a factor of its own peak."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def learning_rates(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Return the present learning rates by role."""
    return {group["name"]: group["lr"] for group in optimizer.param_groups}
