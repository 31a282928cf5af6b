"""What a training method offers: the losses of one optimizer step, point by point."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

from pydantic import BaseModel
from torch import Tensor, nn

from models.layers.layout import Layout
from models.networks.base import AnyBitNetwork, Inputs
from models.precision import FLOAT, OperatingPoint, Precision, precisions_of

Mistake = tuple[str, str]
"""A dotted key of a job, and what is wrong with its value."""


class MethodSettings(
    BaseModel, frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False
):
    """The settings of a method.

    quantized: the method trains the operating points that a job lists; if not, the float network.
    trains: it takes steps; if not, the weights are evaluated as they are.
    """

    name: str
    quantized: ClassVar[bool] = True
    trains: ClassVar[bool] = True

    def without_effect(self, epochs: int) -> list[Mistake]:
        """Return the settings that others, or so many epochs, disable, each with the reason."""
        return []


class Batch(NamedTuple):
    """The samples of one forward pass of one rank.

    inputs: (batch, channels, height, width), or clips with segments after the batch; or what the
        network's stem made of them.
    labels: class indices (batch,), or with label smoothing probabilities (batch, classes).
    """

    inputs: Inputs
    labels: Tensor


class Pass(NamedTuple):
    """The loss of one batch at one operating point, ready for backward.

    point: its name, one of the method's `loss_names`. loss: 0-dim, mean over the local batch.
    teacher: the name of the operating point that taught this one, if any did.
    """

    point: str
    loss: Tensor
    teacher: str | None = None


class WantedTeacher(NamedTuple):
    """A network that a method learns from, built like the trained one but for its precision.

    weights: of a float model, or of a checkpoint; runs count as what they hold. Without any it is
        what an earlier phase has trained at the precision.
    """

    source: Literal["float", "checkpoint"]
    weights: str | None
    precision: Precision
    layout: Layout


@dataclass(frozen=True)
class Step:
    """The position of the run, as far as a method may know it.

    index: optimizer step, counted over the whole run.
    epoch, epochs: the phase's current epoch from 0, and their number.
    progress: fraction of the phase that is done, in [0, 1), position in the epoch included.
    sum_over_ranks: sums a tensor over all ranks; every rank must call it equally often.
    """

    seed: int
    index: int
    epoch: int
    epochs: int
    progress: float
    sum_over_ranks: Callable[[Tensor], Tensor]


class Method(nn.Module, ABC):
    """A way to train one network at its operating points.

    It may have parameters of its own and a frozen teacher: both are part of checkpoints.
    teacher: the network that it was given, if it wants one.
    points: from high to low. Raises ValueError with all mistakes in settings and points.
    """

    Settings: ClassVar[type[MethodSettings]]
    settings: MethodSettings

    def __init__(self, settings: MethodSettings, points: Sequence[OperatingPoint]) -> None:
        super().__init__()
        if found := self.mistakes(settings, points):
            raise ValueError("; ".join(f"{key}: {problem}" for key, problem in found))
        self.settings = settings
        self.points = tuple(points)
        self.teacher: AnyBitNetwork | None = None

    @property
    def layout(self) -> Layout:
        """What the operating points of the network share."""
        return Layout()

    @property
    def code_bits(self) -> int:
        """Bit-width of the stored weight codes (b1); float weights ask for as few as there are."""
        bits = (own.weights for own in precisions_of(self.points) if own.weights != FLOAT)
        return max(bits, default=1)

    @property
    def calibrates(self) -> bool:
        """Whether batch norm is calibrated at every point in the place of a training."""
        return False

    @classmethod
    def mistakes(cls, settings: MethodSettings, points: Sequence[OperatingPoint]) -> list[Mistake]:
        """Return the mistakes in a job's settings and points; most methods need several points."""
        if len(points) > 1:
            return []
        problem = (
            f"the method '{settings.name}' trains two or more bit-widths, got {listed(points)}; "
            "for one alone there is the method 'individual'."
        )
        return [("quantizer.bit_widths", problem)]

    @classmethod
    def mistakes_after(
        cls, settings: MethodSettings, before: MethodSettings | None
    ) -> list[Mistake]:
        """Return why a phase cannot follow the one with the settings `before`.

        None: it begins with random weights, or with those of a float model.
        """
        return []

    def mistakes_with(self, code_bits: int) -> list[Mistake]:
        """Return why it cannot train weights whose codes have the bits that another phase wants."""
        return []

    @property
    def passes(self) -> int:
        """The most passes that a step makes over each of its batches."""
        return len(self.points)

    @property
    def loss_names(self) -> tuple[str, ...]:
        """What the losses of passes are called."""
        return tuple(point.name for point in self.points)

    @property
    def wanted_teacher(self) -> WantedTeacher | None:
        """The network to be given to `take_teacher` before a phase begins or goes on, if any."""
        return None

    def take_teacher(self, network: AnyBitNetwork) -> None:
        """Keep the network that teaches, frozen."""
        self.teacher = network.eval().requires_grad_(False)

    def start_phase(self, network: AnyBitNetwork) -> None:
        """Prepare for a phase of the training, before its first step."""

    @abstractmethod
    def losses(
        self, network: AnyBitNetwork, batches: Sequence[Batch], step: Step
    ) -> Iterator[Pass]:
        """Yield the losses of an optimizer step: point by point, and of each point every batch.

        The caller goes backward on each before it asks for the next; the gradients add up to
        those of the sum over points and batches. Between two losses the method keeps no
        activations. Any of the points may be left out.
        """


def listed(points: Sequence[OperatingPoint]) -> str:
    """Return the names of operating points as a list in a job file."""
    return f"[{', '.join(point.name for point in points)}]"
