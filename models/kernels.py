"""Convolutions of whole numbers: codes of activations with codes of weights, exactly.

A quantized layer is scale * conv(q, k) + bias with activation codes q in [0, 2^a - 1] and centered
weight codes k in [-2^(b-1), 2^(b-1) - 1]. A kernel computes it on one kind of processor; whether
the processor at hand adds up exactly is tried, not believed (`exact`).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.precision import Precision


@dataclass(frozen=True)
class Packed:
    """A layer's weight codes as a kernel wants them, with its stride, padding and groups.

    halves: the input channels stand there twice, each time with a part of the weight.
    """

    weight: Tensor
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    halves: bool = False


EXACT = {"int32": "exact for sums below 2^31", "float32": "exact for sums below 2^24"}
"""How far sums of whole numbers are exact in a type."""


class Kernel(ABC):
    """Convolves codes with codes.

    sums: the type in which it adds up. Kernels that do so in the same type give the same bits. With
    8-bit codes, sums of 2^31 take 65,794 products for each output, more than a layer has; 515 can
    make a sum of 2^24, and from there on float32 rounds.
    """

    sums: ClassVar[Literal["int32", "float32"]]

    @property
    @abstractmethod
    def name(self) -> str:
        """What a run's record calls it."""

    @abstractmethod
    def pack(self, weight: Tensor, conv: nn.Conv2d, at: Precision) -> Packed:
        """Prepare centered codes, int8 (filters, channels / groups, k, k), for `convolve`.

        conv: of which stride, zero padding and groups are taken. at: the bit-widths that bound
        the codes, 1 to 8; inputs of any size can be convolved with the result.
        """

    @abstractmethod
    def convolve(self, codes: Tensor, packed: Packed, scale: Tensor, bias: Tensor | None) -> Tensor:
        """Return scale * conv(codes, weight) + bias: float32, channels last.

        codes: uint8 (batch, channels, height, width), best in channels last. scale, bias: float32
        (filters). Sums are whole numbers; they are rounded to float32 once, then scaled.
        """


@dataclass(frozen=True)
class Int8Kernel(Kernel):
    """oneDNN's convolution of uint8 with int8, which adds up in 32 bits.

    Without VNNI, x86 multiplies pairs and adds them in 16 bits that saturate: 2 * 255 * 128 does
    not fit. halves: where two products may be that large, the weight goes as k >> 1 and
    k - (k >> 1), one behind the other, over input channels that are repeated; the sums are the same
    and every pair fits. Depth-wise convolutions have no second channel to pair and need no halves.
    """

    sums = "int32"
    halves: bool

    @property
    def name(self) -> str:
        """What a run's record calls it."""
        return "int8 in halves" if self.halves else "int8"

    def pack(self, weight: Tensor, conv: nn.Conv2d, at: Precision) -> Packed:
        """Reorder the weight for oneDNN, in halves where they are wanted and needed."""
        halves = self.halves and overflows_16_bits(at) and weight.shape[1] > 1
        stride, padding, dilation, groups = _window(conv)
        reordered = torch.ops.onednn.qconv_prepack(
            in_halves(weight) if halves else weight,
            torch.ones(len(weight), dtype=torch.float32),
            1.0,
            0,
            stride,
            padding,
            dilation,
            groups,
        )
        return Packed(reordered, stride, padding, dilation, groups, halves)

    def convolve(self, codes: Tensor, packed: Packed, scale: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve through oneDNN, which takes the scales as those of the filters."""
        output: Tensor = torch.ops.onednn.qconv_pointwise(
            _twice(codes, packed.groups) if packed.halves else codes,
            1.0,
            0,
            packed.weight,
            scale,
            torch.zeros_like(scale, dtype=torch.int64),
            bias,
            packed.stride,
            packed.padding,
            packed.dilation,
            packed.groups,
            1.0,
            0,
            torch.float32,
            "none",
            [],
            "",
        )
        return output


@dataclass(frozen=True)
class FloatKernel(Kernel):
    """Codes as float32, which a GPU may round to TF32: its 11 bits hold them exactly."""

    sums = "float32"

    @property
    def name(self) -> str:
        """What a run's record calls it."""
        return "tf32"

    def pack(self, weight: Tensor, conv: nn.Conv2d, at: Precision) -> Packed:
        """Convert the weight to float32."""
        values = weight.to(torch.float32, memory_format=torch.channels_last)
        return Packed(values, *_window(conv))

    def convolve(self, codes: Tensor, packed: Packed, scale: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve in float32, then scale."""
        values = codes.to(torch.float32, memory_format=torch.channels_last)
        window = packed.stride, packed.padding, packed.dilation, packed.groups
        with _tf32():
            sums = F.conv2d(values, packed.weight, None, *window)
        scaled = sums.mul_(scale.view(-1, 1, 1))
        output = scaled if bias is None else scaled.add_(bias.view(-1, 1, 1))
        return output.contiguous(memory_format=torch.channels_last)


def overflows_16_bits(at: Precision) -> bool:
    """Return whether two products of such codes can add up to more than 16 bits with sign hold."""
    largest: int = 2 * (2**at.activations - 1) * 2 ** (at.weights - 1)
    return largest > 2**15 - 1


def in_halves(weight: Tensor) -> Tensor:
    """Return codes of int8 as two that add up to them, side by side: (filters, 2 channels, k, k).

    Each lies in [-64, 64].
    """
    low = weight >> 1
    return torch.cat((low, weight - low), dim=1)


def _twice(codes: Tensor, groups: int) -> Tensor:
    """Repeat the channels of each group, in channels last."""
    batch, channels, height, width = codes.shape
    last = codes.permute(0, 2, 3, 1).reshape(batch, height, width, groups, channels // groups)
    return torch.cat((last, last), dim=-1).flatten(-2).permute(0, 3, 1, 2)


def _window(
    conv: nn.Conv2d,
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], int]:
    assert isinstance(conv.padding, tuple)
    return conv.stride, conv.padding, conv.dilation, conv.groups


@contextmanager
def _tf32() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def kernel_for(device: torch.device) -> Kernel | None:
    """Return the fastest kernel that is exact on a device, None if none is."""
    candidates: tuple[Kernel, ...] = (Int8Kernel(halves=False), Int8Kernel(halves=True))
    if device.type != "cpu":
        candidates = (FloatKernel(),)
    return next((kernel for kernel in candidates if exact(kernel, device)), None)


def has_bfloat16(device: torch.device) -> bool:
    """Return whether a processor multiplies bfloat16 itself, instead of taking longer for it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return torch.cpu._is_avx512_bf16_supported()  # oneDNN emulates it on other AVX-512


@cache
def exact(kernel: Kernel, device: torch.device) -> bool:
    """Return whether a kernel gives what float64 gives, on a few shapes, extreme codes and random.

    One that the installation lacks, or that refuses a shape, is not exact. Small images are enough
    on a CPU; a GPU may choose another algorithm for large ones.
    """
    size = 9 if device.type == "cpu" else 56
    try:
        return all(_agrees(kernel, device, *case) for case in _cases(size))
    except (RuntimeError, AttributeError):
        return False


_SHAPES = (
    (16, 16, 3, 1, 1),
    (32, 24, 1, 1, 1),
    (13, 7, 3, 2, 1),
    (16, 16, 3, 1, 16),
    (13, 13, 3, 2, 13),
    (8, 12, 3, 1, 2),
)
"""In and out channels, kernel size, stride, groups. Sums stay below 2^24."""

_PRECISIONS = (Precision(8, 8), Precision(8, 7), Precision(7, 8), Precision(2, 2))


def _cases(size: int) -> Iterator[tuple[nn.Conv2d, Precision, Tensor, Tensor]]:
    """Yield layers, bit-widths, activation codes (2, channels, size, size) and weight codes."""
    generator = torch.Generator().manual_seed(0)
    for channels, filters, k, stride, groups in _SHAPES:
        conv = nn.Conv2d(
            channels, filters, k, stride, k // 2, groups=groups, bias=False, device="meta"
        )
        for at in _PRECISIONS:
            top, reach = 2**at.activations - 1, 2 ** (at.weights - 1)
            codes = torch.randint(0, top + 1, (2, channels, size, size), generator=generator)
            weight = torch.randint(-reach, reach, conv.weight.shape, generator=generator)
            yield conv, at, codes, weight
            yield conv, at, torch.full_like(codes, top), torch.full_like(weight, -reach)
            yield conv, at, torch.full_like(codes, top), torch.full_like(weight, reach - 1)


def _agrees(
    kernel: Kernel,
    device: torch.device,
    conv: nn.Conv2d,
    at: Precision,
    codes: Tensor,
    weight: Tensor,
) -> bool:
    """Compare with float64; scales are powers of two and biases whole, which no sum is lost to."""
    filters = torch.arange(len(weight))
    scale, bias = (0.5 ** (filters % 4)).float(), (filters * 100).float()
    packed = kernel.pack(weight.to(device, torch.int8), conv, at)
    own = codes.to(device, torch.uint8, memory_format=torch.channels_last)
    output = kernel.convolve(own, packed, scale.to(device), bias.to(device))
    sums = F.conv2d(codes.double(), weight.double(), None, *_window(conv))
    expected = scale.view(-1, 1, 1) * sums + bias.view(-1, 1, 1)
    same: bool = torch.equal(output.cpu().double(), expected)
    return same
