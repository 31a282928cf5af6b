"""Batch norm folded into an integer convolution, against both in float64."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional as F

from models.kernels import FloatKernel, Int8Kernel, Kernel, Packed, kernel_for
from models.layers.conv import QuantizedConv2d
from models.layers.norm import SharedBatchNorm2d, SwitchableBatchNorm2d, keep_statistics
from models.layers.normalized import normalized
from models.precision import Precision
from models.quantized import values_of
from models.quantizers import WEIGHT_QUANTIZERS
from models.quantizers.pact import Pact, PactSettings
from models.table import resolve
from tests.models.precisions import at
from tests.models.representatives import KINDS_OF_WEIGHTS

PRECISIONS = ("8bit", "5bit", "1bit", "w4a2", "w1a8", "w32a4")
CPU = kernel_for(torch.device("cpu"))
SHAPES = [
    {"kernel_size": 3},
    {"kernel_size": 1, "stride": 2},
    {"kernel_size": 3, "stride": 2, "groups": 2},
    {"kernel_size": 3, "groups": 6},
]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def layers(
    shape: dict[str, int],
    weights: str = "coquant_trunc",
    *,
    signed: bool = False,
    kernel: Kernel | None = CPU,
    channels: int = 6,
) -> tuple[Pact, QuantizedConv2d, SwitchableBatchNorm2d]:
    """A quantizer, a convolution and batch norm after some training."""
    kind = resolve(WEIGHT_QUANTIZERS, weights)
    conv = QuantizedConv2d(channels, 12, quantizer=kind(kind.Settings(), range(1, 9), 8), **shape)
    conv.start_quantizer()
    act = Pact(PactSettings(clip_init=1.3), PRECISIONS, signed=signed)
    conv.kernel, act.in_codes = kernel, True
    norm = SwitchableBatchNorm2d(12, [Precision.parse(name) for name in PRECISIONS])
    for one in norm.values():
        assert isinstance(one, nn.BatchNorm2d)
        for tensor in (one.weight, one.bias, one.running_mean):
            nn.init.normal_(tensor)
        nn.init.uniform_(one.running_var, 0.1, 2)
    return act, conv, norm


def in_float64(
    act: Pact, conv: QuantizedConv2d, norm: SwitchableBatchNorm2d, x: Tensor, name: str
) -> Tensor:
    """The same from values, with the running statistics."""
    values, one = values_of(act(x, at(name))).double(), norm.at(at(name))
    weight = conv.weight_at(at(name).own.weights).double()
    output = F.conv2d(values, weight, None, conv.stride, conv.padding, 1, conv.groups)
    assert one.running_mean is not None
    assert one.running_var is not None
    shift = (output - one.running_mean[:, None, None]) / (
        one.running_var.double()[:, None, None] + one.eps
    ).sqrt()
    return shift * one.weight[:, None, None] + one.bias[:, None, None]


@torch.no_grad()
@each_shape
@pytest.mark.parametrize("weights", KINDS_OF_WEIGHTS)
@pytest.mark.parametrize("signed", [False, True])
def test_an_evaluation_gives_what_float64_gives(
    shape: dict[str, int], weights: str, signed: bool
) -> None:
    act, conv, norm = layers(shape, weights, signed=signed)
    norm.eval()
    x = torch.randn(2, 6, 7, 7)
    for name in PRECISIONS:
        output = normalized(conv, norm, act(x, at(name)), at(name))
        expected = in_float64(act, conv, norm, x, name)
        assert (output - expected).abs().max() < 2e-6 * expected.abs().max()


@torch.no_grad()
@each_shape
def test_a_training_without_gradient_normalizes_with_the_batch(shape: dict[str, int]) -> None:
    """As a teacher does whose running statistics are left alone."""
    act, conv, norm = layers(shape)
    one, x = norm.at(at("5bit")), torch.randn(2, 6, 7, 7)
    before = one.running_mean.clone()
    with keep_statistics([one]):
        output = normalized(conv, norm, act(x, at("5bit")), at("5bit"))
    torch.testing.assert_close(output.mean((0, 2, 3)), one.bias, rtol=0, atol=1e-5)
    assert torch.equal(one.running_mean, before)
    normalized(conv, norm, act(x, at("5bit")), at("5bit"))
    assert not torch.equal(one.running_mean, before)


@each_shape
def test_an_evaluation_with_gradients_gives_the_same(shape: dict[str, int]) -> None:
    act, conv, norm = layers(shape)
    norm.eval()
    x = torch.randn(2, 6, 7, 7)
    apart = normalized(conv, norm, act(x, at("w4a2")), at("w4a2"))
    apart.sum().backward()
    assert norm.at(at("w4a2")).weight.grad is not None
    with torch.no_grad():
        folded = normalized(conv, norm, act(x, at("w4a2")), at("w4a2"))
    torch.testing.assert_close(folded, apart, rtol=1e-5, atol=2e-5)


@each_shape
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_a_single_image_has_the_gradients_of_float64(
    shape: dict[str, int], layout: torch.memory_format
) -> None:
    """Torch's batch norm goes wrong where the stride of a batch of one is not that of an image."""
    act, conv, norm = layers(shape)
    norm.eval()
    x, wanted = torch.randn(1, 6, 7, 7), list(norm.at(at("8bit")).parameters())
    output = normalized(conv, norm, act(x, at("8bit")), at("8bit"))
    expected = in_float64(act, conv, norm, x, "8bit")
    upstream = torch.linspace(-1, 1, output.numel()).view(output.shape).to(memory_format=layout)
    found = torch.autograd.grad(output, wanted, upstream)
    exact = torch.autograd.grad(expected, wanted, upstream.double())
    for own, reference in zip(found, exact, strict=True):
        torch.testing.assert_close(own, reference, rtol=1e-5, atol=1e-4)


@torch.no_grad()
@each_shape
@pytest.mark.parametrize("signed", [False, True])
def test_a_batch_of_no_image_has_an_output_without_one(shape: dict[str, int], signed: bool) -> None:
    act, conv, norm = layers(shape, signed=signed)
    norm.eval()
    x = torch.randn(0, 6, 7, 7)
    output = normalized(conv, norm, act(x, at("8bit")), at("8bit"))
    assert output.shape == in_float64(act, conv, norm, x, "8bit").shape


@torch.no_grad()
def test_shared_batch_norm_is_folded_as_well() -> None:
    act, conv, norm = layers({"kernel_size": 3})
    shared = SharedBatchNorm2d(12).eval()
    shared.load_state_dict(norm.eval().at(at("5bit")).state_dict())
    codes = act(torch.randn(2, 6, 7, 7), at("5bit"))
    output = normalized(conv, shared, codes, at("5bit"))
    assert torch.equal(output, normalized(conv, norm, codes, at("5bit")))


@torch.no_grad()
def test_another_kernel_packs_the_weight_itself() -> None:
    act, conv, norm = layers({"kernel_size": 3})
    norm.eval()
    codes = act(torch.randn(2, 6, 7, 7), at("8bit"))
    expected = normalized(conv, norm, codes, at("8bit"))
    for kernel in (FloatKernel(), Int8Kernel(halves=True), FloatKernel(), None):
        conv.kernel = kernel
        output = normalized(conv, norm, codes, at("8bit"))
        torch.testing.assert_close(output, expected, rtol=1e-5, atol=2e-5)


class Counted(FloatKernel):
    """Counts the weights that it packs, but for the ones of a sum over windows."""

    packs = 0

    def pack(self, weight: Tensor, conv: nn.Conv2d, at: Precision) -> Packed:
        """Pack and count."""
        type(self).packs += len(weight) > 1
        return super().pack(weight, conv, at)


def test_a_weight_is_packed_once_while_it_stays_and_never_kept_in_training() -> None:
    act, conv, norm = layers({"kernel_size": 3}, kernel=Counted())
    norm.eval()
    x = torch.randn(2, 6, 7, 7)

    def packs(name: str) -> int:
        before = Counted.packs
        normalized(conv, norm, act(x, at(name)), at(name))
        return Counted.packs - before

    assert [packs("5bit"), packs("5bit")] == [1, 1]
    with torch.no_grad():
        assert [packs("5bit"), packs("5bit"), packs("8bit"), packs("5bit")] == [1, 0, 1, 0]
        state = set(conv.state_dict())
        conv.load_state_dict(layers({"kernel_size": 3})[1].state_dict())
        assert [packs("5bit"), packs("8bit"), packs("5bit")] == [1, 1, 0]
    assert state == {"weight"}
    torch.optim.SGD(conv.parameters(), lr=0.1).zero_grad()
    conv.weight.grad = torch.ones_like(conv.weight)
    torch.optim.SGD(conv.parameters(), lr=0.1).step()
    with torch.no_grad():
        assert packs("5bit") == 1
        torch.testing.assert_close(
            normalized(conv, norm, act(x, at("5bit")), at("5bit")).double(),
            in_float64(act, conv, norm, x, "5bit"),
            rtol=1e-5,
            atol=2e-5,
        )


@dataclass(frozen=True)
class Watched(FloatKernel):
    """Remembers the memory of its outputs, but for sums over windows, without holding it."""

    outputs: list[StorageWeakRef] = field(default_factory=list, hash=False)

    def convolve(self, codes: Tensor, packed: Packed, scale: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve and remember."""
        output = super().convolve(codes, packed, scale, bias)
        if output.shape[1] > 1:
            self.outputs.append(StorageWeakRef(output.untyped_storage()))
        return output


@pytest.mark.parametrize(("channels", "bytes_"), [(64, 2400), (65, 2400), (64, 2401)])
def test_a_large_output_of_few_products_is_made_again_for_the_way_back(
    channels: int, bytes_: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.layers.normalized.LARGE_OUTPUT", bytes_)
    kernel = Watched()
    act, conv, norm = layers({"kernel_size": 3}, kernel=kernel, channels=channels)
    output = normalized(conv, norm, act(torch.randn(2, channels, 5, 5), at("5bit")), at("5bit"))
    again = channels == 64 and bytes_ == output.nbytes
    assert [kept.expired() for kept in kernel.outputs] == [again]
    output.sum().backward()
    assert len(kernel.outputs) == 1 + again


@each_shape
@pytest.mark.parametrize("name", PRECISIONS)
def test_what_is_made_again_is_the_same_to_the_last_bit(
    shape: dict[str, int], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    act, conv, norm = layers(shape)
    x = torch.randn(2, 6, 7, 7)
    trained = [*conv.parameters(), *norm.at(at(name)).parameters(), act.clip_levels.at(at(name))]

    def gradients() -> list[Tensor]:
        output = normalized(conv, norm, act(x, at(name)), at(name))
        upstream = torch.linspace(-1, 1, output.numel()).view_as(output)
        return list(torch.autograd.grad(output, trained, upstream, allow_unused=True))

    kept = gradients()
    monkeypatch.setattr("models.layers.normalized.LARGE_OUTPUT", 0)
    for own, same in zip(gradients(), kept, strict=True):
        assert (own is None and same is None) or torch.equal(own, same)


def test_what_is_made_again_is_of_the_weight_that_there_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Autograd does not notice that a frozen weight changes on the way."""
    monkeypatch.setattr("models.layers.normalized.LARGE_OUTPUT", 0)
    act, conv, norm = layers({"kernel_size": 3})
    conv.weight.requires_grad_(False)
    x, one = torch.randn(2, 6, 7, 7), norm.at(at("5bit"))

    def gradient(change: int) -> Tensor:
        output = normalized(conv, norm, act(x, at("5bit")), at("5bit"))
        conv.weight.mul_(change)
        return torch.autograd.grad(output.square().sum(), one.weight)[0]

    assert torch.equal(gradient(1), gradient(-1))
