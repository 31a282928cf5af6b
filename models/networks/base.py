"""What every network that runs at any of its bit-widths offers to methods and to the trainer."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.bitwidth import FLOAT, Assignment
from models.layers.conv import QuantizedConv2d
from models.layers.norm import SwitchableBatchNorm2d, keep_statistics
from models.networks.settings import NetworkSettings
from models.precision import OperatingPoint, Precision
from models.quantizers.base import ActivationQuantizer, ClipLevels


class AnyBitNetwork(nn.Module, ABC):
    """A network with one set of weights, and batch norm and clip levels for each bit-width.

    bit_widths: what it can run at, high to low.
    layers_per_block: quantized layers on the main path of each swappable block.
    """

    Settings: ClassVar[type[NetworkSettings]]

    def __init__(self, bit_widths: tuple[int, ...], layers_per_block: tuple[int, ...]) -> None:
        super().__init__()
        self.bit_widths = bit_widths
        self.layers_per_block = layers_per_block

    @property
    def num_blocks(self) -> int:
        """Number of blocks that can be swapped (L)."""
        return len(self.layers_per_block)

    @property
    def num_layers(self) -> int:
        """Number of layers in those blocks that can be given a bit-width of their own."""
        return sum(self.layers_per_block)

    @property
    def backbone(self) -> "AnyBitNetwork":
        """The network whose module names are torchvision's."""
        return self

    def forward(self, inputs: Tensor, bits: int | Assignment | OperatingPoint) -> Tensor:
        """Return logits (batch, classes) in the type of the parameters.

        Raises ValueError for a bit-width that the network has no batch norm for.
        """
        return self.logits(inputs, self._assignment(bits))

    @abstractmethod
    def logits(self, inputs: Tensor, assignment: Assignment) -> Tensor:
        """Compute the logits (batch, classes); called by forward."""

    def convolve_codes_in(self, dtype: torch.dtype | None) -> None:
        """Let quantized convolutions multiply and add whole numbers of this type, such as bfloat16.

        Batch norm, quantizers, the first convolution and the linear layer compute in the type of
        the parameters, and so do all convolutions with None.
        """
        for module in self.modules():
            if isinstance(module, QuantizedConv2d):
                module.code_dtype = dtype

    def weight_distance(self, teacher: int, student: int) -> Tensor:
        """Return sum over quantized layers of mean|W_teacher - W_student| (CoQuant Eq. 7).

        0-dim, float64, without gradient; computed once per version of the weights.
        """
        layers = [m for m in self.modules() if isinstance(m, QuantizedConv2d)]
        return torch.stack([layer.weight_distance(teacher, student) for layer in layers]).sum()

    def clip_levels(self) -> dict[int, list[nn.Parameter]]:
        """The clip levels of each bit-width in the order of the layers; in float there are none."""
        quantizers = [m for m in self.modules() if isinstance(m, ActivationQuantizer)]
        widths = [bits for bits in self.bit_widths if bits != FLOAT]
        return {bits: [q.clip_level(bits) for q in quantizers] for bits in widths}

    def add(self, precision: Precision, source: Precision) -> None:
        """Let the network run at a precision that it was not built for.

        Batch norm and clip levels are copies of those of `source`, to be calibrated or trained;
        weights need nothing, and what precisions share stays shared. Raises ValueError for a
        precision that the network has already, and for a source that it has not.
        """
        new, old = precision.weights, source.weights
        if new in self.bit_widths or old not in self.bit_widths:
            raise ValueError(f"{new} bits cannot be copied from {old}: there are {self.bit_widths}")
        widths = tuple(sorted((*self.bit_widths, new), reverse=True))
        for module in self.modules():
            if isinstance(module, SwitchableBatchNorm2d | ClipLevels):
                module[str(new)] = deepcopy(module[str(old)])
            elif isinstance(module, AnyBitNetwork):
                module.bit_widths = widths

    @contextmanager
    def frozen_statistics(self, bits: int | None = None) -> Iterator[None]:
        """Within, forward passes leave running statistics alone, though they train as usual.

        bits: only the batch-norm sets of this bit-width; None freezes all, shared ones included.
        """
        with keep_statistics(self._norms(bits)):
            yield

    def _norms(self, bits: int | None) -> list[nn.BatchNorm2d]:
        if bits is None:
            return [m for m in self.modules() if isinstance(m, nn.BatchNorm2d)]
        return [m.set(bits) for m in self.modules() if isinstance(m, SwitchableBatchNorm2d)]

    def _assignment(self, bits: int | Assignment | OperatingPoint) -> Assignment:
        if isinstance(bits, OperatingPoint):
            bits = bits.precision.weights
        if isinstance(bits, int):
            bits = Assignment.uniform(bits, self.num_layers)
        if len(bits.layers) != self.num_layers:
            raise ValueError(f"{len(bits.layers)} bit-widths for {self.num_layers} layers")
        unknown = {bits.bits, *bits.layers} - set(self.bit_widths)
        if unknown:
            raise ValueError(f"no batch norm for {sorted(unknown)} bits, only {self.bit_widths}")
        return bits
