"""What a training method offers: the losses of one batch, one operating point after another."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from pydantic import BaseModel
from torch import Tensor

from models.networks.base import AnyBitNetwork
from models.precision import OperatingPoint


class Pass(NamedTuple):
    """The loss of one pass at one operating point, ready for backward.

    point: its name. loss: 0-dim, mean over the local batch.
    teacher: the name of the operating point that taught this one, if any did.
    """

    point: str
    loss: Tensor
    teacher: str | None = None


@dataclass(frozen=True)
class Step:
    """Where the run stands, as far as a method may know.

    index: optimizer step, counted over the whole run; micro-steps of one step share it.
    epoch, epochs: current epoch from 0, and their number.
    progress: fraction of the run that is done, in [0, 1), position in the epoch included.
    sum_over_ranks: sums a tensor over all ranks; every rank must call it equally often.
    """

    seed: int
    index: int
    epoch: int
    epochs: int
    progress: float
    sum_over_ranks: Callable[[Tensor], Tensor]


class Method(ABC):
    """A way to train one network at its operating points. Stateless apart from its settings.

    points: from high to low.
    """

    Settings: ClassVar[type[BaseModel]]

    def __init__(self, points: Sequence[OperatingPoint]) -> None:
        self.points = tuple(points)

    @property
    def code_bits(self) -> int:
        """Bit-width of the stored weight codes (b1)."""
        return self.points[0].precision.weights

    @abstractmethod
    def losses(
        self, network: AnyBitNetwork, inputs: Tensor, labels: Tensor, step: Step
    ) -> Iterator[Pass]:
        """Yield the loss of each operating point, high to low.

        The caller goes backward on each before it asks for the next; the gradients add up to
        those of the sum over operating points. Between two losses the method keeps no activations.

        inputs: (batch, channels, height, width), or clips with segments after the batch.
        labels: class indices (batch,).
        """
