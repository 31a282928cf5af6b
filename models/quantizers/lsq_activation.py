"""Activations rounded down to multiples of a learned step, as Bit-Mixer's weights are.

Inputs are meant to be signed, as those of pre-activation networks are: behind a ReLU only the
levels 0 to m_b are left, 0 and alpha at two bits.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.precision import FLOAT, LayerPrecision, Precision
from models.quantized import Codes, as_codes, stand_in_for
from models.quantizers.base import SHARED, ActivationQuantizer, arithmetic_dtype, name_at
from models.quantizers.learned_step import (
    Grid,
    LearnedStepSettings,
    first_step,
    largest_multiple,
    used_step,
    with_gradients,
)


class LsqFloorActivationSettings(LearnedStepSettings):
    """Bit-Mixer's activation quantizer."""

    name: Literal["lsq_floor"] = "lsq_floor"


class InputSteps(nn.ParameterDict):
    """Steps (0-dim) by the label of a precision, or one for all; 0 until data gives them one."""

    role: ClassVar[Literal["step"]] = "step"

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__({name: nn.Parameter(torch.zeros(())) for name in names})

    @torch.no_grad()
    def begin(self, precision: Precision, source: Precision) -> None:
        """Begin a precision's step with the range alpha m of another one's, in place if it has one.

        Nothing if it is shared.
        """
        if source.label not in self or precision.activations == FLOAT:
            return
        step = self[source.label].detach() * self.ratio(precision, source)
        if precision.label in self:
            self[precision.label].copy_(step)
        else:
            self[precision.label] = nn.Parameter(step)

    @staticmethod
    def ratio(precision: Precision, source: Precision) -> float:
        """Return the factor with which the step of a precision has the range of another one's."""
        return largest_multiple(source.activations) / largest_multiple(precision.activations)

    def at(self, at: LayerPrecision) -> nn.Parameter:
        """Return the step of a layer's precision."""
        step: nn.Parameter = self[name_at(self, at)]
        return step


class LsqFloorActivation(ActivationQuantizer):
    """A learned step for each precision, or one for all; it starts at 2 mean|x| / sqrt(m_b).

    Raises ValueError for 1-bit activations behind a ReLU, when it is made or when it is called.
    """

    Settings = LsqFloorActivationSettings
    settings: LsqFloorActivationSettings

    def __init__(
        self, settings: LsqFloorActivationSettings, names: Sequence[str], *, signed: bool
    ) -> None:
        super().__init__(settings, names, signed=signed)
        for name in names:
            if name != SHARED:
                self._grid(Precision.parse(name).activations)
        self.input_steps = InputSteps(names)

    @property
    def waits_for_data(self) -> bool:
        """Whether some step is not known yet."""
        return any(step == 0 for step in self.input_steps.values())

    @torch.no_grad()
    def start(self, inputs: Tensor, at: LayerPrecision) -> None:
        """Set the step of a precision, unless it has one."""
        step = self.input_steps.at(at)
        if step == 0:
            step.copy_(first_step(inputs, at.own.activations))

    def quantize(self, inputs: Tensor, at: LayerPrecision) -> Tensor:
        """Return inputs on the grid of the precision, with Bit-Mixer's gradients."""
        grid, step = self._grid(at.own.activations), self.input_steps.at(at)
        ratio, used = self._ratio(inputs, step)
        return with_gradients(grid.multiples(ratio) * used, inputs, step, ratio, grid)

    def encode(self, inputs: Tensor, at: LayerPrecision) -> Codes:
        """Return the same levels as codes."""
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        inputs = inputs if self.signed else F.relu(inputs)
        grid, step = self._grid(at.own.activations), self.input_steps.at(at)
        ratio, used = self._ratio(inputs, step)
        stand_in = with_gradients(stand_in_for(inputs), inputs, step, ratio, grid)
        places = grid.places(grid.multiples(ratio))
        offset = grid.low * used if grid.low else None
        return as_codes(places, at.own.activations, grid.apart * used, offset, stand_in)

    @torch.no_grad()
    def _ratio(self, inputs: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """Return v = x / alpha, and the step alpha that is used."""
        values = inputs.to(arithmetic_dtype(inputs))
        used = used_step(step.to(values.dtype))
        return values / used, used

    def _grid(self, bits: int) -> Grid:
        if bits == 1 and not self.signed:
            raise ValueError(
                "1-bit activations of lsq_floor are the signs of their inputs, which are all +1 "
                "behind a ReLU; choose a network whose quantizers come before the ReLU "
                "(pre-activation), more bits for activations, or another quantizer of activations"
            )
        return Grid.of(self.settings, bits, signed=self.signed)
