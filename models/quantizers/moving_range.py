"""Activations on an affine grid over a moving range (Jacob et al., integer-arithmetic-only).

    scale = (high - low) / n     zero = round(-low / scale)     n = 2^b - 1
    y = scale (clip(round(A / scale) + zero, 0, n) - zero)

low and high are moving averages of each training batch's minimum and maximum, widened to contain 0;
evaluation leaves them alone. OneWeight's activations. A gradient passes where nothing is clipped.
"""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any, Literal, NamedTuple

import torch
from pydantic import BaseModel, Field
from torch import Tensor, nn
from torch.nn import functional as F

from models.precision import FLOAT, LayerPrecision, Precision
from models.quantized import Codes, as_codes, stand_in_for
from models.quantizers.base import ActivationQuantizer, arithmetic_dtype, name_at

SMALLEST_SCALE = 1e-12
"""Smallest scale used, where all inputs are 0 or none has been seen."""


class MovingRangeSettings(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """Activations on an affine grid over the moving range of their batches."""

    name: Literal["moving_range"] = "moving_range"
    decay: float = Field(0.99, ge=0, lt=1, description="share of a range that a batch leaves")


class MovingRange(nn.Module):
    """The moving average of minimum and maximum (each 0-dim), both 0 until a batch has been seen.

    track_running_stats: whether training passes write it, as in batch norm.
    """

    low: Tensor
    high: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))
        self.track_running_stats = True

    @property
    def is_known(self) -> Tensor:
        """Whether a batch has been seen, 0-dim."""
        return self.high > self.low

    @torch.no_grad()
    def see(self, inputs: Tensor, decay: float) -> None:
        """Take a batch into the average; the first one is all of it."""
        lowest, highest = inputs.to(self.low.dtype).aminmax()
        weight = torch.where(self.is_known, 1 - decay, 1.0).to(self.low.dtype)
        self.low.lerp_(lowest.clamp(max=0), weight)
        self.high.lerp_(highest.clamp(min=0), weight)


class MovingRanges(nn.ModuleDict):
    """Ranges by the label of a precision, or one for all."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__({name: MovingRange() for name in names})

    @torch.no_grad()
    def begin(self, precision: Precision, source: Precision) -> None:
        """Begin a precision's range with another one's, in place if it has one; none if shared."""
        if source.label not in self or precision.activations == FLOAT:
            return
        if precision.label not in self:
            self[precision.label] = deepcopy(self[source.label])
        self[precision.label].load_state_dict(self[source.label].state_dict())

    def sets_of(self, precisions: Iterable[Precision]) -> list[MovingRange]:
        """Return the ranges that only layers of these precisions use."""
        labels = {own.label for own in precisions}
        ranges = (one for name, one in self.items() if name in labels)
        return [one for one in ranges if isinstance(one, MovingRange)]

    def at(self, at: LayerPrecision) -> MovingRange:
        """Return the range of a layer's precision."""
        found = self[name_at(self, at)]
        assert isinstance(found, MovingRange)
        return found


class MovingRangeActivation(ActivationQuantizer):
    """A moving range for each precision, or one for all."""

    Settings = MovingRangeSettings
    settings: MovingRangeSettings

    def __init__(
        self, settings: MovingRangeSettings, names: Sequence[str], *, signed: bool
    ) -> None:
        super().__init__(settings, names, signed=signed)
        self.ranges = MovingRanges(names)

    @property
    def waits_for_data(self) -> bool:
        """Whether some range has seen no batch."""
        return not all(self.ranges[name].is_known for name in self.ranges)

    def start(self, inputs: Tensor, at: LayerPrecision) -> None:
        """Let a range see its first batch."""
        found = self.ranges.at(at)
        if not found.is_known:
            found.see(inputs, self.settings.decay)

    def quantize(self, inputs: Tensor, at: LayerPrecision) -> Tensor:
        """Return inputs on the grid of the precision; in training their range counts first."""
        grid = self._grid(inputs, at)
        output: Tensor = _Within.apply(inputs, grid.values(inputs), grid)  # type: ignore[no-untyped-call]
        return output

    def encode(self, inputs: Tensor, at: LayerPrecision) -> Codes:
        """Return the same levels as codes."""
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        inputs = inputs if self.signed else F.relu(inputs)
        grid = self._grid(inputs, at)
        stand_in = _Within.apply(inputs, stand_in_for(inputs), grid)  # type: ignore[no-untyped-call]
        offset = -grid.scale * grid.zero if self.signed else None
        return as_codes(grid.places(inputs), at.own.activations, grid.scale, offset, stand_in)

    @torch.no_grad()
    def _grid(self, inputs: Tensor, at: LayerPrecision) -> "_Grid":
        found = self.ranges.at(at)
        if self.training and found.track_running_stats:
            found.see(inputs, self.settings.decay)
        dtype, top = arithmetic_dtype(inputs), 2**at.own.activations - 1
        low, high = found.low.to(dtype), found.high.to(dtype)
        scale = ((high - low) / top).clamp(min=SMALLEST_SCALE)
        return _Grid(scale, (-low / scale).round().clamp(max=top), top)


class _Grid(NamedTuple):
    """The levels scale (k - zero) for k from 0 to top."""

    scale: Tensor
    zero: Tensor
    top: int

    @torch.no_grad()
    def places(self, inputs: Tensor) -> Tensor:
        """Return k for each input; NaN stays."""
        return (
            (inputs.to(self.scale.dtype) / self.scale).round_().add_(self.zero).clamp_(0, self.top)
        )

    @torch.no_grad()
    def values(self, inputs: Tensor) -> Tensor:
        """Return the level of each input."""
        return self.places(inputs).sub_(self.zero).mul_(self.scale)


class _Within(torch.autograd.Function):
    """Values, or a stand-in for them; the gradient goes to inputs that are not clipped."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, values: Tensor, grid: _Grid) -> Tensor:
        lowest, highest = -grid.scale * grid.zero, grid.scale * (grid.top - grid.zero)
        ctx.save_for_backward((inputs >= lowest) & (inputs <= highest))
        ctx.dtype = inputs.dtype
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (inside,) = ctx.saved_tensors
        return torch.where(inside, grads[0], 0).to(ctx.dtype), None, None
