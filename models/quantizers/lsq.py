"""Weights rounded down to multiples of a learned step (Bit-Mixer), in three ways to a lower one.

own       a step alpha_b for each bit-width, by which the float weights are rounded (Eq. 2)
nested    code_b = floor(clip(code_n alpha_n / alpha_b, -m_b, m_b)), n the highest bit-width
clip      one step for all, code_b = clip(code_n, -m_b, m_b) (Eq. 3-4)

With steps of its own a lower bit-width needs the float weights, unless the ratio of its step to
the highest one's is a power of two. The other two need no more than the highest codes and steps.
"""

from collections.abc import Collection, Sequence
from functools import partial
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from models.precision import FLOAT, Precision
from models.quantized import stand_in_for
from models.quantizers.base import SHARED, Levels, WeightQuantizer, arithmetic_dtype
from models.quantizers.learned_step import (
    Grid,
    LearnedStepSettings,
    first_step,
    largest_multiple,
    used_step,
    with_gradients,
)


class LsqFloorSettings(LearnedStepSettings):
    """Bit-Mixer's weight quantizer."""

    name: Literal["lsq_floor"] = "lsq_floor"
    lower: Literal["own", "nested", "clip"] = Field(
        "own",
        description="lower bit-widths: rounded by a step of their own (Bit-Mixer Eq. 2), so from "
        "the highest one's codes, or those codes clipped (Eq. 3-4)",
    )


class LearnedSteps(nn.ParameterDict):
    """One step (0-dim) for each bit-width, named by it: "4bit"; or a shared one."""

    role: ClassVar[Literal["step"]] = "step"

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__({name: nn.Parameter(torch.ones(())) for name in names})

    def begin(self, precision: Precision, source: Precision) -> None:
        """Begin a step for a precision's weights, with the range alpha m of another one's."""
        name = f"{precision.weights}bit"
        if {name, SHARED}.isdisjoint(self) and FLOAT not in (precision.weights, source.weights):
            step = self[f"{source.weights}bit"].detach() * self.ratio(precision, source)
            self[name] = nn.Parameter(step)

    @staticmethod
    def ratio(precision: Precision, source: Precision) -> float:
        """Return the factor with which the step of a precision has the range of another one's."""
        return largest_multiple(source.weights) / largest_multiple(precision.weights)

    def at(self, bits: int) -> nn.Parameter:
        """Return the step of a bit-width."""
        step: nn.Parameter = self[SHARED if SHARED in self else f"{bits}bit"]
        return step


class LsqFloorWeight(WeightQuantizer):
    """Steps are learned with the weight; they start at 2 mean|W| / sqrt(m_b)."""

    Settings = LsqFloorSettings
    settings: LsqFloorSettings

    def __init__(
        self, settings: LsqFloorSettings, bit_widths: Sequence[int], code_bits: int
    ) -> None:
        super().__init__(settings, bit_widths, code_bits)
        self.highest = max(bit_widths, default=code_bits)
        shared = settings.lower == "clip" and bit_widths
        self.steps = LearnedSteps([SHARED] if shared else [f"{bits}bit" for bits in bit_widths])

    @property
    def nested(self) -> bool:
        """Whether the stored codes give all lower ones; with steps of their own they do not."""
        return self.settings.lower != "own"

    @property
    def origin(self) -> int | None:
        """The highest bit-width, if lower ones are made from its codes."""
        return self.highest if self.settings.lower == "nested" else None

    @torch.no_grad()
    def start(self, weight: Tensor, keep: Collection[int] = ()) -> None:
        """Set each step to 2 mean|W| / sqrt(m_b), a shared one to that of the highest bit-width."""
        kept = [self.steps.at(bits) for bits in keep]
        for name, step in self.steps.items():
            if any(step is one for one in kept):
                continue
            bits = self.highest if name == SHARED else int(name.removesuffix("bit"))
            step.copy_(first_step(weight, bits))

    def share(self, weight: Tensor) -> None:
        """Nothing: every bit-width is rounded by itself."""

    @torch.no_grad()
    def levels(self, weight: Tensor, bits: int) -> Levels:
        """Return the places on the grid, the distance of two levels, and the lowest level."""
        grid, step = self._grid(bits), self._shown_step(weight, bits).double()
        places = grid.places(self._multiples(self._ratio(weight, bits), bits))
        return Levels(places.to(torch.uint8), grid.apart * step, grid.low * step)

    def forward(self, weight: Tensor, bits: int) -> Tensor:
        """Return W_b with Bit-Mixer's gradients for the weight and for the step."""
        with torch.no_grad():
            ratio = self._ratio(weight, bits)
            values = self._multiples(ratio, bits) * self._shown_step(weight, bits)
        return self._attach(values, ratio, weight, bits)

    def stand_in(self, weight: Tensor, bits: int) -> Tensor:
        """Return a tensor without memory, with the gradient of `forward`."""
        with torch.no_grad():
            ratio = self._ratio(weight, bits)
        return self._attach(stand_in_for(weight), ratio, weight, bits)

    def _attach(self, values: Tensor, ratio: Tensor, weight: Tensor, bits: int) -> Tensor:
        """Return values with their gradients, nested ones through the highest bit-width."""
        source = self.stand_in(weight, self.highest) if self._nests(bits) else weight
        rounded = partial(self._multiples, bits=bits)
        return with_gradients(values, source, self.steps.at(bits), ratio, self._grid(bits), rounded)

    def _ratio(self, weight: Tensor, bits: int) -> Tensor:
        """Return v, to be rounded: W / alpha_b, or code_n alpha_n / alpha_b."""
        if self._nests(bits):
            stored = self._grid(self.highest).multiples(self._ratio(weight, self.highest))
            return stored * (self._step(weight, self.highest) / self._step(weight, bits))
        return weight.detach().to(arithmetic_dtype(weight)) / self._step(weight, bits)

    def _multiples(self, ratio: Tensor, bits: int) -> Tensor:
        """Return the codes that v becomes.

        Rounding and clipping may change places, but for a sign: that is one of the highest code.
        """
        if self.settings.lower == "clip" and bits == 1 < self.highest:
            ratio = self._grid(self.highest).multiples(ratio)
        return self._grid(bits).multiples(ratio)

    def _nests(self, bits: int) -> bool:
        return self.settings.lower == "nested" and bits < self.highest

    def _grid(self, bits: int) -> Grid:
        return Grid.of(self.settings, bits)

    def _step(self, weight: Tensor, bits: int) -> Tensor:
        """Return the step that is used, in the type of the arithmetic."""
        return used_step(self.steps.at(bits).detach().to(arithmetic_dtype(weight)))

    def _shown_step(self, weight: Tensor, bits: int) -> Tensor:
        """Return the step: NaN for a weight that is not finite, which no code must hide."""
        return self._step(weight, bits) + 0 * weight.detach().abs().amax()
