"""What a quantizer of weights and one of activations must offer."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from models.quantizers.settings import QuantizerSettings


class QuantizedWeight(ABC):
    """One layer's weight tensor as its quantizer sees it.

    The constructor computes, once and without gradient, what all bit-widths share; the object is
    valid as long as the weight does not change. It is an entry of WEIGHT_QUANTIZERS and is called
    with (weight, settings, code_bits), code_bits (b1) being the bit-width of the stored codes.
    """

    def __init__(self, weight: Tensor, settings: QuantizerSettings, code_bits: int) -> None:
        self.settings = settings
        self.code_bits = code_bits

    @abstractmethod
    def codes(self, bits: int) -> Tensor:
        """Return the integer codes at `bits`, uint8 in [0, 2^bits - 1], in the weight's shape."""

    @abstractmethod
    def affine(self, bits: int) -> tuple[Tensor, Tensor]:
        """Return gain and offset, 0-dim, float64, with which W_b = gain * codes + offset."""

    @abstractmethod
    def fake_quantize(self, weight: Tensor, bits: int) -> Tensor:
        """Return the quantized values at `bits`, differentiable with respect to weight.

        weight: the tensor this object was made of.
        """

    @abstractmethod
    def distance(self, teacher: int, student: int) -> Tensor:
        """Return mean|W_teacher - W_student|, 0-dim, float64, without gradient."""


class ClipLevels(nn.ParameterDict):
    """One clip level (0-dim, the papers' alpha) for each bit-width, named by it."""

    role: ClassVar[Literal["clip"]] = "clip"

    def __init__(self, bit_widths: Sequence[int], initial: float) -> None:
        super().__init__({str(bits): nn.Parameter(torch.tensor(initial)) for bits in bit_widths})


class ActivationQuantizer(nn.Module, ABC):
    """Quantizes activations at any of its bit-widths, with a learned clip level for each.

    An entry of ACTIVATION_QUANTIZERS; called with (settings, bit_widths, clip_init, signed),
    signed telling that the input is not the output of a ReLU.
    """

    def __init__(
        self,
        settings: QuantizerSettings,
        bit_widths: Sequence[int],
        clip_init: float,
        *,
        signed: bool,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.signed = signed
        self.clip_levels = ClipLevels(bit_widths, clip_init)

    def clip_level(self, bits: int) -> nn.Parameter:
        """Return the clip level of one bit-width."""
        level: nn.Parameter = self.clip_levels[str(bits)]
        return level

    @abstractmethod
    def step(self, bits: int) -> Tensor:
        """Return the number, 0-dim and without gradient, of which all levels are whole multiples.

        The multiples are at most 255, so that they are exact in bfloat16.
        """

    @abstractmethod
    def forward(self, inputs: Tensor, bits: int) -> Tensor:
        """Return inputs on the levels of `bits`, in float32 (float64 for float64 inputs)."""


class Unquantized(ActivationQuantizer):
    """The activations of a float network, as they are."""

    def step(self, bits: int) -> Tensor:
        """Return 1: nothing depends on it."""
        return torch.ones(())

    def forward(self, inputs: Tensor, bits: int) -> Tensor:
        """Return the inputs."""
        return inputs


def arithmetic_dtype(tensor: Tensor) -> torch.dtype:
    """Type of all quantizer arithmetic: bfloat16 cannot hold k/255 and would flip codes."""
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32
