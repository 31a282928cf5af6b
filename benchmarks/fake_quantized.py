"""Fake quantization written plainly: float arithmetic on rounded numbers, and autograd's gradients.

CoQuant's truncated weights and PACT's activations, with batch norm and clip levels of each
bit-width, as AdaBits' published code does it: every convolution quantizes its input and its weight
in each pass.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.plain import MobileNetV2Cifar


class FakeQuantizedConv2d(nn.Conv2d):
    """nn.Conv2d on quantized inputs and weights at `bits`.

    signed: inputs are clipped to [-alpha, alpha], not to [0, alpha].
    """

    bits: int

    def __init__(self, like: nn.Conv2d, bit_widths: Sequence[int], *, signed: bool) -> None:
        super().__init__(
            like.in_channels,
            like.out_channels,
            like.kernel_size,  # type: ignore[arg-type]
            like.stride,  # type: ignore[arg-type]
            like.padding,  # type: ignore[arg-type]
            groups=like.groups,
            bias=False,
        )
        self.signed, self.highest = signed, max(bit_widths)
        self.clip_levels = nn.ParameterDict({str(b): torch.tensor(8.0) for b in bit_widths})

    def forward(self, inputs: Tensor) -> Tensor:
        """Quantize and convolve."""
        return F.conv2d(
            self.activations(inputs),
            self.weights(),
            stride=self.stride,
            padding=self.padding,
            groups=self.groups,
        )

    def activations(self, inputs: Tensor) -> Tensor:
        """Return inputs on the 2^bits levels of [0, alpha], or of [-alpha, alpha] (PACT)."""
        alpha, top = self.clip_levels[str(self.bits)], 2**self.bits - 1
        if self.signed:
            clipped = inputs.minimum(alpha).maximum(-alpha)
            unit = (clipped / alpha + 1) / 2
            return passing(clipped, (2 * (unit * top).round() / top - 1) * alpha)
        clipped = inputs.clamp(min=0).minimum(alpha)
        return passing(clipped, (clipped / alpha * top).round() / top * alpha)

    def weights(self) -> Tensor:
        """Return the highest codes with bits dropped, and the mean aligned (CoQuant Eq. 3-5)."""
        top, dropped = 2**self.highest - 1, 2 ** (self.highest - self.bits)
        squashed = self.weight.tanh()
        unit = squashed / (2 * squashed.abs().max()) + 0.5
        codes = (unit * top).round()
        kept = (codes / dropped).floor() * dropped
        align = codes.mean() / kept.mean()
        return 2 * passing(unit, align * kept / top) - 1


def passing(values: Tensor, quantized: Tensor) -> Tensor:
    """Return `quantized`, with the gradient passed on to `values` unchanged."""
    return values + (quantized - values).detach()


class SwitchedBatchNorm2d(nn.ModuleDict):
    """One nn.BatchNorm2d for each bit-width, of which that of `bits` runs."""

    bits: int

    def __init__(self, channels: int, bit_widths: Sequence[int]) -> None:
        super().__init__({str(bits): nn.BatchNorm2d(channels) for bits in bit_widths})

    def forward(self, inputs: Tensor) -> Tensor:
        """Normalize (batch, channels, height, width)."""
        normalized: Tensor = self[str(self.bits)](inputs)
        return normalized


def fake_quantize(network: nn.Module, bit_widths: Sequence[int]) -> None:
    """Replace each convolution and batch norm of a plain network, but for the first of each."""
    signed = _signed(network)
    for name, module in list(network.named_modules()):
        parent, _, own = name.rpartition(".")
        if isinstance(module, nn.Conv2d) and name != "conv1":
            quantized = FakeQuantizedConv2d(module, bit_widths, signed=name in signed)
            setattr(network.get_submodule(parent), own, quantized)
        elif isinstance(module, nn.BatchNorm2d) and name != "bn1":
            norm = SwitchedBatchNorm2d(module.num_features, bit_widths)
            setattr(network.get_submodule(parent), own, norm)


def _signed(network: nn.Module) -> set[str]:
    """Return the names of the convolutions whose input is not the output of a ReLU."""
    if not isinstance(network, MobileNetV2Cifar):
        return set()
    signed = {"conv2"}
    for number in range(1, len(network.layers)):
        signed |= {f"layers.{number}.conv1", f"layers.{number}.shortcut.0"}
    return signed


def set_bits(network: nn.Module, bits: int) -> None:
    """Let a fake-quantized network run at a bit-width."""
    for module in network.modules():
        if isinstance(module, FakeQuantizedConv2d | SwitchedBatchNorm2d):
            module.bits = bits
