"""One step of CoQuant, watched: its forward passes, losses and teachers."""

from typing import Any

import torch
from torch import Tensor

from models.methods.base import Batch, Step
from models.methods.coquant import CoQuant, CoQuantSettings
from models.networks.base import AnyBitNetwork
from models.precision import OperatingPoint

BITS = (8, 6, 4, 2)
POINTS = tuple(map(OperatingPoint.at, BITS))


def batch() -> Batch:
    return Batch(torch.randn(6, 3, 16, 16), torch.tensor([0, 1, 2, 0, 1, 2]))


class Watched:
    """Runs one step and keeps the logits and losses of each forward pass."""

    def __init__(
        self,
        network: AnyBitNetwork,
        step: Step,
        method: CoQuant | None = None,
        only: int | None = None,
        **settings: Any,
    ) -> None:
        self.passes: list[Tensor] = []
        self.inputs, self.labels = given = batch()
        handle = network.register_forward_hook(
            lambda module, args, output: self.passes.append(output.detach())
        )
        method = method or CoQuant(CoQuantSettings(**settings), POINTS)
        self.losses: dict[int, tuple[Tensor, int | None]] = {}
        for one in method.losses(network, [given], step):
            bits, teacher = width(one.point), one.teacher and width(one.teacher)
            if only in (None, bits):
                one.loss.backward()
            self.losses[bits] = (one.loss, teacher)
        handle.remove()

    @property
    def teachers(self) -> list[int | None]:
        return [teacher for _, teacher in self.losses.values()]


def width(point: str) -> int:
    """The bit-width that a point is called after."""
    return int(point.removesuffix("bit"))
