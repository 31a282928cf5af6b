"""A step in integers against the same step in floats, and evaluation with batch norm folded in."""

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from io import BytesIO
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.calibrate import calibrate
from models.kernels import FloatKernel, Int8Kernel, Kernel, Packed, kernel_for
from models.layers.layout import Layout
from models.methods.base import Batch, Step
from models.methods.coquant import CoQuant, CoQuantSettings
from models.networks.base import AnyBitNetwork
from models.networks.sharing import sharing
from models.precision import Assignment, LayerPrecision, OperatingPoint
from models.quantized import Activations, Codes, decoded
from models.quantizers.pact import Pact
from tests.models.representatives import KINDS_OF_WEIGHTS

Tiny = Callable[..., AnyBitNetwork]
NETWORKS = ("resnet18_cifar", "mobilenet_v2_cifar", "resnet50")
KERNEL = kernel_for(torch.device("cpu"))


def trained(tiny: Tiny, name: str, **settings: object) -> AnyBitNetwork:
    """A network whose activations are clipped now and then, and dead channels are not exactly 0.

    The last ReLU is not a quantizer's: there 0 and what rounding makes of it would be a tie.
    """
    torch.manual_seed(4)
    network = tiny(name, **settings)
    with torch.no_grad():
        for levels in network.clip_levels().values():
            for level in levels:
                level.fill_(1.5)
        for norm in network.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.bias.uniform_(-0.3, 0.3)
    return network


def pairs(network: AnyBitNetwork) -> list[Assignment]:
    """Every bit-width, and a student of 2 bits with every other layer at 8."""
    points = [network.assignment(bits) for bits in (8, 6, 4, 2)]
    high, low = points[0].layers, points[-1].layers
    mixed = tuple((high, low)[i % 2][i] for i in range(len(low)))
    return [*points, Assignment(points[-1].outside, mixed)]


def backward(network: AnyBitNetwork, images: Tensor, at: Assignment) -> None:
    logits = network(images, at)
    F.cross_entropy(logits, torch.arange(len(images)) % 3).backward()


def gradients(network: AnyBitNetwork, step: Callable[[], object]) -> dict[str, Tensor]:
    network.zero_grad()
    step()
    named = network.named_parameters()
    return {name: p.grad.clone() for name, p in named if p.grad is not None}


def in_codes_and_in_values(
    network: AnyBitNetwork, step: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The gradients of a step in integers and of the same in floats, rounded alike at a tie."""
    seen: list[tuple[Tensor, Codes]] = []
    original = Pact.forward

    def noted(self: Pact, inputs: Tensor, at: LayerPrecision) -> Activations:
        output = original(self, inputs, at)
        assert isinstance(output, Codes)
        seen.append((inputs.detach(), output))
        return output

    def the_same(self: Pact, inputs: Tensor, at: LayerPrecision) -> Activations:
        """Quantize the inputs of the other path, which are nearly these.

        One near 0 or the clip level could else pass its gradient on one path alone.
        """
        given, codes = seen.pop(0)
        assert (given - inputs).abs().max() < 1e-4 * given.abs().max()
        own = original(self, inputs + (given - inputs).detach(), at)
        assert isinstance(own, Tensor)
        other = decoded(codes.codes, codes.step, codes.offset)
        different = (own - other).abs() > codes.step / 2
        level = (given - (0 if codes.offset is None else codes.offset)) / codes.step
        assert ((level - level.floor() - 0.5).abs() < 1e-3)[different].all()
        assert different.float().mean() < 1e-3
        return own + (other - own).detach()

    network.compute_in(KERNEL)
    monkeypatch.setattr(Pact, "forward", noted)
    by_codes = gradients(network, step)
    assert seen
    network.compute_in(None)
    monkeypatch.setattr(Pact, "forward", the_same)
    by_values = gradients(network, step)
    assert not seen
    monkeypatch.setattr(Pact, "forward", original)
    return by_codes, by_values


def assert_same(by_codes: dict[str, Tensor], by_values: dict[str, Tensor]) -> None:
    """All gradients together, and each by itself but for what sums of large terms leave."""
    assert by_codes.keys() == by_values.keys()
    whole = torch.cat([gradient.flatten() for gradient in by_values.values()]).norm()
    gaps = {name: (by_codes[name] - expected).norm() for name, expected in by_values.items()}
    assert torch.stack(list(gaps.values())).norm() < 1e-5 * whole
    for name, gap in gaps.items():
        assert gap < 1e-4 * by_values[name].norm() + 1e-6 * whole, name


each_quantizer = pytest.mark.parametrize("weights", KINDS_OF_WEIGHTS)
each_network = pytest.mark.parametrize("name", NETWORKS)
networks_and_weights = pytest.mark.parametrize(
    ("name", "weights"),
    [
        *((name, KINDS_OF_WEIGHTS[0]) for name in NETWORKS),
        *((NETWORKS[0], weights) for weights in KINDS_OF_WEIGHTS[1:]),
    ],
)
"""Every network, and every kind of levels, but not each with each."""


@networks_and_weights
def test_codes_and_gradients_are_those_of_the_float_path_but_for_ties(
    tiny: Tiny, name: str, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = trained(tiny, name, weights=weights)
    images = torch.randn(6, 3, 16, 16)
    for at in pairs(network):
        assert_same(
            *in_codes_and_in_values(network, partial(backward, network, images, at), monkeypatch)
        )


@networks_and_weights
def test_a_step_of_coquant_has_the_gradients_of_the_float_path(
    tiny: Tiny,
    make_step: Callable[..., Step],
    name: str,
    weights: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With swaps and teachers, two batches, and all that passes share."""
    network = trained(tiny, name, weights=weights)
    points = [OperatingPoint.at(bits) for bits in (8, 6, 4, 2)]
    method = CoQuant(CoQuantSettings(p1=0.5), points)
    images, labels = torch.randn(2, 6, 3, 16, 16), torch.arange(6) % 3

    def step() -> None:
        with sharing(network, list(images), len(points)) as shared:
            batches = [Batch(inputs, labels) for inputs in shared]
            for one in method.losses(network, batches, make_step()):
                one.loss.backward()

    assert_same(*in_codes_and_in_values(network, step, monkeypatch))


@each_network
def test_batch_norm_is_folded_into_an_evaluation(tiny: Tiny, name: str) -> None:
    network = trained(tiny, name)
    network.compute_in(KERNEL)
    images = torch.randn(8, 3, 16, 16)
    for _ in range(3):
        network(images, 4)
    network.eval()
    apart = network(images, 4).detach()
    with torch.no_grad():
        folded = network(images, 4)
    assert folded.isfinite().all()
    assert (folded - apart).norm() < 0.02 * apart.norm()


@each_network
@pytest.mark.parametrize("norm", ["switchable", "transitional", "shared"])
def test_a_calibration_averages_what_flows_out_of_integer_convolutions(
    tiny: Tiny, name: str, norm: Literal["switchable", "transitional", "shared"]
) -> None:
    network = trained(tiny, name, layout=Layout(norm=norm))
    network.compute_in(KERNEL)
    batches, point = list(torch.randn(3, 8, 3, 16, 16)), OperatingPoint.at(6)
    with torch.no_grad():
        for bits in (8, 6):
            network(3 * batches[0], bits)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    flows = watched_convolutions(network)
    calibrate({point: network}, batches)
    state = network.state_dict()
    changed = {n.rpartition(".")[0] for n, v in before.items() if not torch.equal(v, state[n])}
    assert len(changed) == len(flows)
    found = [state[f"{name}.running_{what}"] for what in ("mean", "var") for name in changed]
    for outputs in flows.values():
        channels = [output.double().transpose(0, 1).flatten(1) for output in outputs]
        means = torch.stack([c.mean(1) for c in channels]).mean(0)
        variances = torch.stack([c.var(1) for c in channels]).mean(0)
        for expected in (means, variances):
            close = [
                f.shape == expected.shape and torch.allclose(f.double(), expected, 1e-4, 1e-6)
                for f in found
            ]
            assert any(close)


def watched_convolutions(network: AnyBitNetwork) -> dict[nn.Module, list[Tensor]]:
    """What flows out of each convolution, also the first one, pass by pass."""
    flows: dict[nn.Module, list[Tensor]] = {}
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda m, _, out: flows.setdefault(m, []).append(out))
    return flows


@each_network
def test_a_calibrated_network_evaluates_as_it_trains(tiny: Tiny, name: str) -> None:
    """On the batch that it was calibrated with: the statistics are the same but for N - 1."""
    network = trained(tiny, name)
    network.compute_in(KERNEL)
    images, point = torch.randn(64, 3, 16, 16), OperatingPoint.at(8)
    calibrate({point: network}, [images])
    with torch.no_grad():
        as_trained = network.train()(images, 8)
        folded = network.eval()(images, 8)
    assert (folded - as_trained).norm() < 0.02 * as_trained.norm()


def saved(network: nn.Module) -> nn.Module:
    """A whole network, written to a file and read."""
    file = BytesIO()
    torch.save(network, file)
    file.seek(0)
    read: nn.Module = torch.load(file, weights_only=False)
    return read


def test_weights_that_were_packed_are_packed_anew_when_they_change(tiny: Tiny) -> None:
    network, other = trained(tiny, "resnet18_cifar").eval(), trained(tiny, "resnet18_cifar").eval()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.1)
    images = torch.randn(2, 3, 16, 16)
    for each in (network, other):
        each.compute_in(KERNEL)
    with torch.no_grad():
        before, expected = network(images, 4), other(images, 4)
        copied = deepcopy(network)
        network.load_state_dict(other.state_dict())
        assert torch.equal(copied(images, 4), before)
        assert torch.equal(network(images, 4), expected)
        assert not torch.equal(before, expected)


@each_network
@pytest.mark.parametrize("copied", [saved, deepcopy])
def test_a_network_that_has_been_evaluated_can_be_saved_and_copied(
    tiny: Tiny, name: str, copied: Callable[[nn.Module], nn.Module]
) -> None:
    network, images = trained(tiny, name).eval(), torch.randn(2, 3, 16, 16)
    network.compute_in(Int8Kernel(halves=True))
    with torch.no_grad():
        expected = network(images, 8)
        assert torch.equal(copied(network)(images, 8), expected)
        assert torch.equal(network(images, 8), expected)


@each_network
def test_all_kernels_evaluate_alike_and_each_at_its_turn(tiny: Tiny, name: str) -> None:
    network = trained(tiny, name).eval()
    images = torch.randn(4, 3, 16, 16)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    kernels: list[Kernel] = [Int8Kernel(halves=True), FloatKernel(), Doubled(), FloatKernel()]
    with torch.no_grad():
        logits = []
        for kernel in kernels:
            network.compute_in(kernel)
            logits.append(network(images, 8))
    halves, floats, doubled, again = logits
    assert torch.equal(floats, again)
    assert (halves - floats).norm() < 0.01 * floats.norm()
    assert (doubled - floats).norm() > 0.1 * floats.norm()
    assert network.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


class Doubled(FloatKernel):
    """Wrong by a factor of 2."""

    def convolve(self, codes: Tensor, packed: Packed, scale: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve with twice the scale."""
        return super().convolve(codes, packed, 2 * scale, bias)


@pytest.mark.parametrize(
    "where", ["conv1.weight", "act2.clip_levels.4bit", "bn1.4bit.running_var", "bn2.4bit.bias"]
)
@each_quantizer
def test_what_is_not_a_number_shows_in_an_evaluation(tiny: Tiny, weights: str, where: str) -> None:
    network = trained(tiny, "resnet18_cifar", weights=weights).eval()
    network.compute_in(KERNEL)
    with torch.no_grad():
        network.state_dict()[f"layer1.0.{where}"].view(-1)[0] = torch.nan
        assert network(torch.randn(2, 3, 16, 16), 4).isnan().all()


@each_network
@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
@pytest.mark.parametrize("kernel", [None, KERNEL], ids=["floats", "integers"])
def test_pixels_that_are_not_finite_show_in_logits_and_in_gradients(
    tiny: Tiny, name: str, wrong: float, kernel: Kernel | None
) -> None:
    """In an evaluation, where batch norm does not make NaN of them, infinite ones are clipped."""
    network = trained(tiny, name)
    network.compute_in(kernel)
    images = torch.randn(4, 3, 16, 16)
    images[1, 0, 2, 3] = wrong
    found = gradients(network, lambda: backward(network, images, network.assignment(4)))
    assert not torch.cat([gradient.flatten() for gradient in found.values()]).isfinite().all()
    assert not network(images, 4).isfinite().any()
    fresh = trained(tiny, name).eval()
    fresh.compute_in(kernel)
    with torch.no_grad():
        assert fresh(images, 4)[1].isfinite().all() == (wrong == torch.inf)


def test_a_step_keeps_a_byte_for_codes_and_one_for_places(tiny: Tiny) -> None:
    """Of everything that goes into a quantizer; besides, what batch norm and the end keep."""
    network = trained(tiny, "resnet18_cifar")
    images = torch.randn(16, 3, 16, 16)
    bytes_: dict[torch.dtype, dict[int, int]] = {}

    def kept(tensor: Tensor) -> Tensor:
        bytes_.setdefault(tensor.dtype, {})[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    inputs: list[int] = []
    for module in network.modules():
        if isinstance(module, Pact):
            module.register_forward_pre_hook(lambda _, given: inputs.append(given[0].numel()))
    network.compute_in(KERNEL)
    with torch.autograd.graph.saved_tensors_hooks(kept, lambda tensor: tensor):
        network(images, 4)
    weights = sum(layer.weight.numel() for layer in network.convolutions())
    assert sum(bytes_[torch.uint8].values()) <= 2 * sum(inputs) + weights
