"""What all operating points have in common at the beginning of a network, computed once a batch."""

from collections.abc import Sequence

from torch import Tensor

from models.cut import Cut
from models.layers.norm import BatchStatistics


class StemOutput:
    """What the stem makes of one batch, for any number of passes; taken in place of the inputs.

    It belongs to the weights, and to the mode (training or evaluation), that it was computed in.
    statistics: of the batch norms in the stem, which each pass updates as if it had run them.
    """

    def __init__(self, output: Tensor, statistics: Sequence[BatchStatistics]) -> None:
        self._cut = Cut(output)
        self._statistics = statistics

    @property
    def features(self) -> Tensor:
        """The output of the stem, a leaf at which the gradients of the passes add up."""
        return self._cut.leaf

    def begin_pass(self) -> Tensor:
        """Return the features for one more pass."""
        for statistics in self._statistics:
            statistics.count_pass()
        return self.features

    def push(self) -> None:
        """Go backward through the stem once, with the sum of the passes' gradients."""
        self._cut.push()
