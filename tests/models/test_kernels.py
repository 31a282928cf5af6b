"""Kernels against the same convolution in float64, which is exact on whole numbers."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import kernels
from models.kernels import (
    EXACT,
    FloatKernel,
    Int8Kernel,
    Kernel,
    Packed,
    exact,
    has_bfloat16,
    in_halves,
    kernel_for,
    overflows_16_bits,
)
from models.precision import Precision

CPU = torch.device("cpu")
KERNELS = [Int8Kernel(halves=True), FloatKernel()]
EIGHT = Precision(8, 8)

LAYERS = {
    "3x3": (16, 16, 3, 1, 1),
    "3x3 over channels that fill no register": (13, 7, 3, 1, 1),
    "stride 2": (8, 24, 3, 2, 1),
    "1x1": (32, 8, 1, 1, 1),
    "1x1 at stride 2": (6, 5, 1, 2, 1),
    "depth-wise": (16, 16, 3, 1, 16),
    "depth-wise at stride 2": (13, 13, 3, 2, 13),
    "depth-wise with two filters each": (6, 12, 3, 1, 6),
    "grouped": (12, 8, 3, 1, 4),
    "grouped, odd": (9, 6, 3, 2, 3),
    "one channel": (1, 3, 3, 1, 1),
    "7x7": (3, 8, 7, 2, 1),
}


def layer(channels: int, filters: int, size: int, stride: int, groups: int) -> nn.Conv2d:
    return nn.Conv2d(channels, filters, size, stride, size // 2, groups=groups, bias=False)


def random_codes(conv: nn.Conv2d, at: Precision, *size: int) -> tuple[Tensor, Tensor]:
    reach = 2 ** (at.weights - 1)
    codes = torch.randint(0, 2**at.activations, (3, conv.in_channels, *size), dtype=torch.uint8)
    return codes, torch.randint(-reach, reach, conv.weight.shape, dtype=torch.int8)


def by_hand(conv: nn.Conv2d, codes: Tensor, weight: Tensor) -> Tensor:
    """Return conv(codes, weight), float64."""
    size, stride = conv.kernel_size[0], conv.stride[0]
    columns = F.unfold(codes.double(), size, padding=size // 2, stride=stride)
    columns = columns.view(len(codes), conv.groups, -1, columns.shape[2])
    rows = weight.double().view(conv.groups, -1, columns.shape[2])
    height, width = ((n - 1) // stride + 1 for n in codes.shape[2:])
    return torch.einsum("gfi,bgip->bgfp", rows, columns).reshape(len(codes), -1, height, width)


def ones(conv: nn.Conv2d) -> Tensor:
    return torch.ones(conv.out_channels)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
@pytest.mark.parametrize("shape", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 1)], ids=str)
@pytest.mark.parametrize("bits", [(8, 8), (8, 4), (2, 8), (1, 1)], ids=str)
def test_sums_are_exact(
    kernel: Kernel, shape: tuple[int, ...], size: tuple[int, int], bits: tuple[int, int]
) -> None:
    conv, at = layer(*shape), Precision(*bits)
    codes, weight = random_codes(conv, at, *size)
    output = kernel.convolve(codes, kernel.pack(weight, conv, at), ones(conv), None)
    assert output.dtype == torch.float32
    assert output.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(output.double(), by_hand(conv, codes, weight))


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
@pytest.mark.parametrize(("code", "own"), [(255, -128), (255, 127), (254, -127)])
def test_extremes_do_not_saturate(kernel: Kernel, code: int, own: int) -> None:
    conv = layer(16, 8, 3, 1, 1)
    codes = torch.full((1, 16, 4, 4), code, dtype=torch.uint8)
    weight = torch.full(conv.weight.shape, own, dtype=torch.int8)
    output = kernel.convolve(codes, kernel.pack(weight, conv, EIGHT), ones(conv), None)
    assert output[0, 0, 1, 1] == code * own * 16 * 9
    assert output[0, 0, 0, 0] == code * own * 16 * 4


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
@pytest.mark.parametrize("channels", [514, 2048])
def test_sums_are_exact_as_far_as_the_kernel_says(kernel: Kernel, channels: int) -> None:
    conv = layer(channels, 16, 1, 1, 1)
    codes = torch.randint(250, 256, (1, channels, 4, 4), dtype=torch.uint8)
    weight = torch.randint(-128, -120, conv.weight.shape, dtype=torch.int8)
    output = kernel.convolve(codes, kernel.pack(weight, conv, EIGHT), ones(conv), None)
    expected = by_hand(conv, codes, weight)
    limit = int(EXACT[kernel.sums].removeprefix("exact for sums below 2^"))
    assert (expected.abs().max() < 2**limit) == torch.equal(output, expected.float())


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
@pytest.mark.parametrize("groups", [1, 2, 8])
def test_the_order_of_codes_in_memory_does_not_matter(kernel: Kernel, groups: int) -> None:
    conv = layer(8, 8, 3, 1, groups)
    wide, weight = random_codes(conv, EIGHT, 6, 12)
    codes = wide[..., ::2]
    packed = kernel.pack(weight, conv, EIGHT)
    expected = by_hand(conv, codes, weight)
    for same in (codes, codes.contiguous(), codes.contiguous(memory_format=torch.channels_last)):
        output = kernel.convolve(same, packed, ones(conv), None)
        assert torch.equal(output.double(), expected)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
@pytest.mark.parametrize("at", [EIGHT, Precision(4, 4)], ids=lambda at: at.label)
def test_filters_are_scaled_and_biased_with_the_rounding_of_float32(
    kernel: Kernel, at: Precision
) -> None:
    conv = layer(12, 6, 3, 1, 2)
    codes, weight = random_codes(conv, at, 5, 5)
    scale, bias = torch.rand(6) * 1e-3, torch.randn(6)
    packed = kernel.pack(weight, conv, at)
    sums = by_hand(conv, codes, weight) * scale.double().view(-1, 1, 1)
    without = kernel.convolve(codes, packed, scale, None)
    torch.testing.assert_close(without.double(), sums, rtol=2**-23, atol=0)
    output = kernel.convolve(codes, packed, scale, bias)
    reach = sums.abs().max() + bias.abs().max()
    expected = sums + bias.double().view(-1, 1, 1)
    torch.testing.assert_close(output.double(), expected, rtol=0, atol=float(reach) * 2**-22)


@pytest.mark.parametrize("shape", LAYERS.values(), ids=LAYERS)
def test_a_weight_in_halves_gives_the_same_bits_as_a_whole_one(shape: tuple[int, ...]) -> None:
    """With codes of 7 bits, whose products fit in pairs, no processor needs the halves."""
    conv = layer(*shape)
    codes, weight = random_codes(conv, Precision(8, 7), 9, 9)
    scale, bias = torch.rand(conv.out_channels) * 1e-3, torch.randn(conv.out_channels)
    packed = [(k, k.pack(weight, conv, EIGHT)) for k in map(Int8Kernel, (True, False))]
    halves, whole = (k.convolve(codes, own, scale, bias) for k, own in packed)
    assert torch.equal(halves, whole)


def test_one_packed_weight_serves_inputs_of_every_size() -> None:
    conv, kernel = layer(16, 16, 3, 1, 1), Int8Kernel(halves=True)
    _, weight = random_codes(conv, EIGHT, 1, 1)
    packed = kernel.pack(weight, conv, EIGHT)
    for size in (1, 4, 9, 32):
        codes, _ = random_codes(conv, EIGHT, size, size)
        output = kernel.convolve(codes, packed, ones(conv), None)
        assert torch.equal(output.double(), by_hand(conv, codes, weight))


def test_a_scale_that_is_not_a_number_shows() -> None:
    conv, kernel = layer(4, 2, 3, 1, 1), Int8Kernel(halves=True)
    codes, weight = random_codes(conv, EIGHT, 3, 3)
    scale = torch.tensor([torch.nan, 1.0])
    output = kernel.convolve(codes, kernel.pack(weight, conv, EIGHT), scale, None)
    assert output[:, 0].isnan().all()
    assert output[:, 1].isfinite().all()


def test_halves_add_up_to_the_weight_and_their_products_fit_16_bits() -> None:
    weight = torch.arange(-128, 128, dtype=torch.int8).view(-1, 1, 1, 1)
    first, second = in_halves(weight).int().unbind(dim=1)
    assert torch.equal(first + second, weight.int()[:, 0])
    assert 2 * 255 * in_halves(weight).int().abs().max() <= 2**15 - 1


def test_only_8_bit_weights_with_8_bit_activations_overflow() -> None:
    pairs = [Precision(*pair) for pair in product(range(1, 9), range(1, 9))]
    assert [at for at in pairs if overflows_16_bits(at)] == [EIGHT]


def test_weights_stay_whole_where_nothing_overflows_and_in_depth_wise_layers() -> None:
    kernel = Int8Kernel(halves=True)
    halves = [
        kernel.pack(torch.zeros(conv.weight.shape, dtype=torch.int8), conv, at).halves
        for conv, at in (
            (layer(8, 8, 3, 1, 1), EIGHT),
            (layer(8, 8, 3, 1, 1), Precision(8, 6)),
            (layer(8, 8, 3, 1, 8), EIGHT),
        )
    ]
    assert halves == [True, False, False]


class Saturating(FloatKernel):
    """Adds the products of neighboring channels in 16 bits, as x86 does without VNNI."""

    def convolve(self, codes: Tensor, packed: Packed, scale: Tensor, bias: Tensor | None) -> Tensor:
        width, taps = packed.weight.shape[1], range(packed.weight.shape[2])
        total = torch.zeros(())
        for first, row, column in product(range(0, width, 2), taps, taps):
            weight = torch.zeros_like(packed.weight)
            part = slice(first, first + 2), row, column
            weight[:, *part] = packed.weight[:, *part]
            pairs = super().convolve(codes, replace(packed, weight=weight), torch.ones(()), None)
            total = total + pairs.clamp(-(2**15), 2**15 - 1)
        scaled = total * scale.view(-1, 1, 1)
        return scaled if bias is None else scaled + bias.view(-1, 1, 1)


class OffByOne(FloatKernel):
    """Wrong by one in one filter alone."""

    def convolve(self, codes: Tensor, packed: Packed, scale: Tensor, bias: Tensor | None) -> Tensor:
        output = super().convolve(codes, packed, scale, bias)
        output[:, -1] += scale[-1]
        return output


class Missing(FloatKernel):
    """Not in this installation."""

    def pack(self, weight: Tensor, conv: nn.Conv2d, at: Precision) -> Packed:
        packed: Packed = torch.ops.onednn.no_such_operation(weight)
        return packed


class Refusing(FloatKernel):
    """Implemented for some shapes only."""

    def convolve(self, codes: Tensor, packed: Packed, scale: Tensor, bias: Tensor | None) -> Tensor:
        if packed.groups > 1:
            raise RuntimeError("could not create a primitive descriptor")
        return super().convolve(codes, packed, scale, bias)


@pytest.mark.parametrize("kernel", [Saturating(), OffByOne(), Missing(), Refusing()], ids=type)
def test_a_kernel_that_is_not_exact_is_refused(kernel: Kernel) -> None:
    assert not exact(kernel, CPU)


def test_a_kernel_that_saturates_is_right_on_small_codes() -> None:
    """So it is saturation that the check above finds."""
    conv, kernel = layer(6, 4, 3, 2, 2), Saturating()
    codes, weight = random_codes(conv, Precision(8, 6), 5, 5)
    output = kernel.convolve(codes, kernel.pack(weight, conv, EIGHT), ones(conv), None)
    assert torch.equal(output.double(), by_hand(conv, codes, weight))


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_a_kernel_that_is_exact_is_accepted(kernel: Kernel) -> None:
    assert exact(kernel, CPU)


def test_the_kernel_of_a_device_is_the_first_that_is_exact_there() -> None:
    fast = Int8Kernel(halves=False)
    assert kernel_for(CPU) == (fast if exact(fast, CPU) else Int8Kernel(halves=True))


def test_a_processor_whose_kernels_all_saturate_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "Int8Kernel", lambda halves: Saturating())
    assert kernel_for(CPU) is None


def test_a_torch_without_onednn_has_neither_a_kernel_nor_bfloat16(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "ops", object())
    monkeypatch.setattr(kernels, "exact", exact.__wrapped__)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert kernel_for(CPU) is None
    assert has_bfloat16(CPU) is False


def test_tf32_is_on_within_a_convolution_of_codes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    original = F.conv2d

    def watched(*arguments: Any) -> Any:
        seen.append(torch.backends.cudnn.allow_tf32)
        return original(*arguments)

    monkeypatch.setattr(F, "conv2d", watched)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    conv = layer(4, 2, 3, 1, 1)
    codes, weight = random_codes(conv, EIGHT, 3, 3)
    FloatKernel().convolve(codes, FloatKernel().pack(weight, conv, EIGHT), ones(conv), None)
    assert seen == [True]
    assert torch.backends.cudnn.allow_tf32 is False
