"""The interfaces of weight and activation quantizers."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch
from pydantic import BaseModel
from torch import Tensor, nn
from torch.nn import functional as F

from models.precision import FLOAT, LayerPrecision
from models.quantized import Activations, Codes

T = TypeVar("T")

SHARED = "shared"
"""The name of what is the same at all precisions."""


@dataclass(frozen=True)
class Levels:
    """A quantized weight as integers: value = gain * code + offset.

    codes: uint8 in [0, 2^bits - 1], in the weight's shape. gain, offset: float64, 0-dim for the
    whole tensor or (filters, 1, 1, 1) for one of each filter. A gain is above 0, or not a number
    where a weight is not: it must not hide behind an integer code. Sums of codes lose least when
    the codes lie around (2^bits - 1) / 2, where the values are near 0.
    """

    codes: Tensor
    gain: Tensor
    offset: Tensor

    def values(self, dtype: torch.dtype) -> Tensor:
        """Return the quantized weight."""
        return self.codes.to(dtype).mul_(self.gain.to(dtype)).add_(self.offset.to(dtype))


class WeightQuantizer(nn.Module, ABC):
    """Quantizes the weight of one layer at any of its bit-widths; may own parameters.

    An entry of WEIGHT_QUANTIZERS; called with (settings, bit_widths, code_bits), code_bits (b1)
    being the bit-width of the stored codes.

    What the bit-widths share is computed once per version of a weight, however many bit-widths and
    passes use it: a step of the optimizer and load_state_dict write the weight in place, which
    increases its version counter. Three ways of writing do not: through
    `weight.data`, by a collective (broadcast), and by an optimizer with fused=True.
    """

    Settings: ClassVar[type[BaseModel]]

    def __init__(self, settings: Any, bit_widths: Sequence[int], code_bits: int) -> None:
        super().__init__()
        self.settings = settings
        self.code_bits = code_bits
        self._shared: Any = None
        self._of: tuple[Tensor, ...] = ()
        self._key: tuple[object, ...] = ()
        self._derived: dict[Hashable, Any] = {}

    def __getstate__(self) -> dict[str, object]:
        """Return what is copied and saved, which nothing is that was computed of a weight.

        In oneDNN's own order a weight could not be.
        """
        return vars(self) | {"_shared": None, "_of": (), "_key": (), "_derived": {}}

    @classmethod
    def changes_float(cls, settings: Any) -> bool:
        """Return whether `float_weight` is another than the weight; here it is not."""
        return False

    @property
    def nested(self) -> bool:
        """Whether the stored codes alone give the codes of all lower bit-widths; here not."""
        return False

    @property
    def origin(self) -> int | None:
        """The bit-width of the codes that all values are made from, where another one gives others.

        Here None: the values at a bit-width are the same, however many bits are stored.
        """
        return None

    @abstractmethod
    def share(self, weight: Tensor) -> Any:
        """Compute, without gradient, what all bit-widths need of a weight."""

    @abstractmethod
    def levels(self, weight: Tensor, bits: int) -> Levels:
        """Return the weight at `bits` as integers, without gradient."""

    @abstractmethod
    def forward(self, weight: Tensor, bits: int) -> Tensor:
        """Return the values of `levels`, differentiable with respect to weight and parameters."""

    def float_weight(self, weight: Tensor) -> Tensor:
        """Return what a layer uses that is not quantized, differentiable: here the weight."""
        return weight

    @abstractmethod
    def stand_in(self, weight: Tensor, bits: int) -> Tensor:
        """Return a tensor in the place of `forward`, with its gradient but not its values."""

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Within, gradients may wait before what all bit-widths go through, to do so as one sum.

        Leaving lets them go on; after an exception they are dropped. Here none waits.
        """
        yield

    def end_gathering(self, done: Callable[[Tensor], None]) -> None:
        """Let gradients go on while the next backward pass, the last one, completes them.

        done: called with each weight whose gradient will not change any more. Here none is known.
        """

    def start(self, weight: Tensor, keep: Collection[int] = ()) -> None:
        """Initialize the parameters from the weight, except those that bit-widths in `keep` use."""

    def distance(self, weight: Tensor, teacher: int, student: int) -> Tensor:
        """Return mean|W_teacher - W_student|, 0-dim, float64, without gradient."""
        key = ("distance", teacher, student)
        distance: Tensor = self.derived(weight, key, lambda: self.gap(weight, teacher, student))
        return distance

    def derived(self, weight: Tensor, key: Hashable, compute: Callable[[], T]) -> T:
        """Return what is computed of the present weight, without gradient, once for each key."""
        self.shared(weight)
        if key not in self._derived:
            with torch.inference_mode(mode=False), torch.no_grad():
                self._derived[key] = compute()
        found: T = self._derived[key]
        return found

    def gap(self, weight: Tensor, teacher: int, student: int) -> Tensor:
        """Compute what `distance` returns."""
        dtype = arithmetic_dtype(weight)
        values = (self.levels(weight, bits).values(dtype).double() for bits in (teacher, student))
        return (next(values) - next(values)).abs().mean()

    def shared(self, weight: Tensor) -> Any:
        """Return what `share` computed of the present weight, at the present parameters."""
        own = (parameter._version for parameter in self.parameters())
        key = (weight._version, weight.data_ptr(), weight.dtype, *own)
        if key != self._key or not any(kept is weight for kept in self._of):
            # Evaluation may come first under inference mode; training must be able to use it.
            with torch.inference_mode(mode=False), torch.no_grad():
                self._shared = self.share(weight)
            # The weight is kept: another one could else have its place in memory.
            self._of, self._key, self._derived = (weight,), key, {}
        return self._shared


class ActivationQuantizer(nn.Module, ABC):
    """Quantizes the input of a layer at the precision of the call; may own parameters.

    in_codes: float32 inputs are returned as codes instead of values.
    starting: inputs first give a precision its initial values, if they come from data and it has
        none yet.

    An entry of ACTIVATION_QUANTIZERS; called with (settings, names, signed): the names by which
    its parameters are switched, labels of precisions or "shared" alone; without signed the ReLU
    that precedes it is part of it.
    """

    Settings: ClassVar[type[BaseModel]]

    def __init__(self, settings: Any, names: Sequence[str], *, signed: bool) -> None:
        super().__init__()
        self.settings = settings
        self.signed = signed
        self.in_codes = False
        self.starting = False

    @property
    def waits_for_data(self) -> bool:
        """Whether some of its initial values are still to come from data; here none do."""
        return False

    def start(self, inputs: Tensor, at: LayerPrecision) -> None:
        """Take initial values of a precision from inputs, after the ReLU, unless it has some."""

    @classmethod
    def head_settings(cls, settings: Any) -> Any:
        """Return the settings of a linear layer's input; here they are those of all others."""
        return settings

    def forward(self, inputs: Tensor, at: LayerPrecision) -> Activations:
        """Return inputs, after the ReLU unless they are signed, on the levels of the precision.

        float32 becomes codes if they are wanted, else values in float32 (float64 for float64
        inputs). At float activations nothing is quantized.
        """
        quantized = at.own.activations != FLOAT
        if quantized and self.starting:
            self.start(inputs.detach() if self.signed else F.relu(inputs.detach()), at)
        if quantized and self.in_codes and inputs.dtype == torch.float32:
            return self.encode(inputs, at)
        values = inputs if self.signed else F.relu(inputs)
        return self.quantize(values, at) if quantized else values

    @abstractmethod
    def quantize(self, inputs: Tensor, at: LayerPrecision) -> Tensor:
        """Return inputs on the levels of the precision, as values; the ReLU is behind them."""

    @abstractmethod
    def encode(self, inputs: Tensor, at: LayerPrecision) -> Codes:
        """Return inputs (batch, channels, height, width), after the ReLU, as codes."""


def name_at(names: Iterable[str], at: LayerPrecision) -> str:
    """Return under which of the names an activation quantizer has what a precision uses."""
    return SHARED if SHARED in set(names) else at.own.label


def arithmetic_dtype(tensor: Tensor) -> torch.dtype:
    """Type of all quantizer arithmetic: bfloat16 cannot hold k/255 and would flip codes."""
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32
