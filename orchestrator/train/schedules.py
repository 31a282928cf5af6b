"""The factor of all learning rates at a position of the run: warm-up, then a schedule."""

import math

from orchestrator.job.optimizer import Optimizer
from orchestrator.train.position import Position


def factor(settings: Optimizer, position: Position) -> float:
    """Return what every learning rate is multiplied by in the optimizer step at `position`.

    With s = warmup_start, W = warmup_epochs and E epochs, counted in epochs or in optimizer steps:

    - warm-up: s + (1 - s) n / W, n being the steps done, or the epochs with the present one, so
      that the first epoch does not learn at the rate s = 0;
    - multistep: gamma to the number of milestones passed;
    - cosine: (1 + cos(pi (n - W) / (E - W))) / 2, n being the steps or epochs done.

    """
    unit, done = _clock(settings, position)
    warm = settings.warmup_epochs * unit
    if done < warm:
        reached = done if settings.schedule_per == "step" else done + 1
        return settings.warmup_start + (1 - settings.warmup_start) * reached / warm
    match settings.schedule:
        case "multistep":
            passed = [one for one in settings.milestones if position.epoch >= one]
            return settings.gamma ** len(passed)
        case "cosine":
            rest = position.epochs * unit - warm
            return (1 + math.cos(math.pi * (done - warm) / rest)) / 2
        case "constant":
            return 1.0


def _clock(settings: Optimizer, position: Position) -> tuple[int, int]:
    """Return how many ticks an epoch has and how many are done."""
    if settings.schedule_per == "step":
        return position.steps_per_epoch, position.steps_done
    return 1, position.epoch
