"""What all operating points have in common at the beginning of a network, computed once a batch."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from models.layers.norm import BatchStatistics, keep_statistics


class StemOutput:
    """What the stem makes of one batch, for any number of passes; taken in place of the inputs.

    It belongs to the weights, and to the mode (training or evaluation), that it was computed in.
    What autograd would keep of the stem is several times as large: the way back runs it again.

    run: the stem on the batch. statistics: of the batch norms in the stem, which each pass updates
    as if it had run them.
    """

    def __init__(self, run: Callable[[], Tensor], statistics: Sequence[BatchStatistics]) -> None:
        self._run = run
        self._statistics = statistics
        with torch.no_grad():
            features = run()
        self.features = features.requires_grad_(torch.is_grad_enabled())

    def begin_pass(self) -> Tensor:
        """Return the output of the stem, at which the gradients of the passes add up."""
        for statistics in self._statistics:
            statistics.count_pass()
        return self.features

    def push(self) -> None:
        """Go backward through the stem once, with the sum of the gradients, if there is one."""
        if self.features.grad is None:
            return
        with keep_statistics(statistics.norm for statistics in self._statistics):
            output = self._run()
        torch.autograd.backward(output, self.features.grad)
        self.features.grad = None
