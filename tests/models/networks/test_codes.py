"""A step in integers against the same step in floats, and evaluation with batch norm folded in."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.calibrate import calibrate
from models.kernels import kernel_for
from models.networks.base import AnyBitNetwork
from models.precision import Assignment, LayerPrecision, OperatingPoint
from models.quantized import Activations, Codes, decoded
from models.quantizers import WEIGHT_QUANTIZERS
from models.quantizers.pact import Pact

Tiny = Callable[..., AnyBitNetwork]
NETWORKS = ("resnet18_cifar", "mobilenet_v2_cifar", "resnet50")
KERNEL = kernel_for(torch.device("cpu"))


def trained(tiny: Tiny, name: str, **settings: object) -> AnyBitNetwork:
    """A network whose activations are clipped now and then."""
    torch.manual_seed(4)  # no tie at the last ReLU, which is not a quantizer's
    network = tiny(name, **settings)
    with torch.no_grad():
        for levels in network.clip_levels().values():
            for level in levels:
                level.fill_(1.5)
    return network


def pairs(network: AnyBitNetwork) -> list[Assignment]:
    """Every bit-width, and a student of 2 bits with every other layer at 8."""
    points = [network.assignment(bits) for bits in (8, 6, 4, 2)]
    high, low = points[0].layers, points[-1].layers
    mixed = tuple((high, low)[i % 2][i] for i in range(len(low)))
    return [*points, Assignment(points[-1].outside, mixed)]


def gradients(network: AnyBitNetwork, images: Tensor, at: Assignment) -> tuple[Tensor, Tensor]:
    network.zero_grad()
    logits = network(images, at)
    F.cross_entropy(logits, torch.arange(len(images)) % 3).backward()
    return logits.detach(), torch.cat(
        [p.grad.flatten() for p in network.parameters() if p.grad is not None]
    )


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("weights", WEIGHT_QUANTIZERS)
def test_codes_and_gradients_are_those_of_the_float_path_but_for_ties(
    tiny: Tiny, name: str, weights: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = trained(tiny, name, weights=weights)
    images = torch.randn(6, 3, 16, 16)
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
        assert (given - inputs).abs().max() < 1e-3 * given.abs().max()
        own = original(self, inputs + (given - inputs).detach(), at)
        assert isinstance(own, Tensor)
        other = decoded(codes.codes, codes.step, codes.offset)
        different = (own - other).abs() > codes.step / 2
        level = (given - (0 if codes.offset is None else codes.offset)) / codes.step
        assert ((level - level.floor() - 0.5).abs() < 1e-3)[different].all()
        assert different.float().mean() < 1e-3
        return own + (other - own).detach()

    for at in pairs(network):
        network.compute_in(KERNEL)
        monkeypatch.setattr(Pact, "forward", noted)
        by_codes = gradients(network, images, at)
        assert seen
        network.compute_in(None)
        monkeypatch.setattr(Pact, "forward", the_same)
        by_values = gradients(network, images, at)
        assert not seen
        for own, expected in zip(by_codes, by_values, strict=True):
            assert (own - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize("name", NETWORKS)
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


@pytest.mark.parametrize("name", NETWORKS)
def test_calibration_runs_batch_norm_itself(tiny: Tiny, name: str) -> None:
    """Statistics of one batch: then an evaluation normalizes as training does."""
    network = trained(tiny, name)
    network.compute_in(KERNEL)
    images, point = torch.randn(8, 3, 16, 16), OperatingPoint.at(6)
    other = {n: v.clone() for n, v in network.state_dict().items() if "4bit.running" in n}
    calibrate({point: network}, [images])
    norms = [m for n, m in network.named_modules() if n.endswith("6bit")]
    assert all(norm.num_batches_tracked == 1 for norm in norms)
    state = network.state_dict()
    assert all(torch.equal(state[n], v) for n, v in other.items())
    assert not any(norm.training and norm.momentum is None for norm in norms)


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


@pytest.mark.parametrize("where", ["conv1.weight", "act2.clip_levels.4bit", "bn1.4bit.running_var"])
def test_what_is_not_a_number_shows_in_an_evaluation(tiny: Tiny, where: str) -> None:
    network = trained(tiny, "resnet18_cifar").eval()
    network.compute_in(KERNEL)
    with torch.no_grad():
        network.state_dict()[f"layer1.0.{where}"].view(-1)[0] = torch.nan
        assert network(torch.randn(2, 3, 16, 16), 4).isnan().all()


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
