"""What CoQuant's steps are compared to computes what the networks of `models` compute."""

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import plain
from benchmarks.fake_quantized import fake_quantize, set_bits
from benchmarks.results_file import REPOSITORY
from models.networks.base import AnyBitNetwork
from orchestrator.job.load import load_job
from orchestrator.prepare.build import build_network

CLASSES = 5
TINY = ("model.widths=[4, 8]", "model.depths=[1, 2]")
STAGES = ((1, 8, 1, 1), (2, 12, 2, 2))
TINY_STAGES = (
    "model.widths=[8, 12]",
    "model.depths=[1, 2]",
    "model.expansions=[1, 2]",
    "model.strides=[1, 2]",
)
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[str, ...]]] = {
    "resnet18_cifar": (lambda: tiny_resnet(plain.BasicBlock, small=True), TINY),
    "resnet18": (lambda: tiny_resnet(plain.BasicBlock, small=False), TINY),
    "resnet50": (lambda: tiny_resnet(plain.Bottleneck, small=False), TINY),
    "mobilenet_v2_cifar": (lambda: plain.MobileNetV2Cifar(CLASSES, STAGES), TINY_STAGES),
}


def tiny_resnet(block: type[plain.BasicBlock | plain.Bottleneck], *, small: bool) -> plain.ResNet:
    return plain.ResNet(block, (4, 8), (1, 2), CLASSES, small=small)


def of_product(name: str, folder: str, *overrides: str) -> AnyBitNetwork:
    own = NETWORKS[name][1]
    job = load_job(
        REPOSITORY / "jobs" / folder / "cifar10_r18.yaml", [f"model.name={name}", *own, *overrides]
    ).job
    return build_network(job, CLASSES).double()


def give_weights(network: nn.Module, source: AnyBitNetwork) -> None:
    """Weights and batch norm; clip levels, which are not called the same, start the same."""
    named = {re.sub(r"(\d)bit", r"\1", name): own for name, own in source.state_dict().items()}
    found = network.load_state_dict(named, strict=False)
    assert [name for name in found.missing_keys if "clip_levels" not in name] == []
    others = [name for name in found.unexpected_keys if "clip_levels" not in name]
    assert others == ["normalize.mean", "normalize.std"]


def drawn_images() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 3, 16, 16, dtype=torch.float64, generator=generator)


def gradients(network: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    names, parameters = zip(*network.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return {n: g for n, g in zip(names, found, strict=True) if g is not None and g.dim() == 4}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_plain_network_is_the_float_one(name: str) -> None:
    ours, plainly = of_product(name, "float"), NETWORKS[name][0]().double()
    give_weights(plainly, ours)
    images = drawn_images()
    torch.testing.assert_close(plainly(images), ours(images, 32))


@pytest.mark.parametrize("name", ["resnet18_cifar", "resnet50", "mobilenet_v2_cifar"])
@pytest.mark.parametrize("bits", [8, 2])
def test_fake_quantization_has_the_outputs_and_gradients_of_quantized_layers(
    name: str, bits: int
) -> None:
    identity = () if "mobilenet" in name else ("model.quantize_identity=false",)
    ours, plainly = of_product(name, ".", *identity), NETWORKS[name][0]()
    fake_quantize(plainly.double(), (8, 6, 4, 2))
    give_weights(plainly.double(), ours)
    set_bits(plainly, bits)
    images = drawn_images()
    labels = torch.tensor([1, 3, 0])
    logits, expected = plainly(images), ours(images, bits)
    torch.testing.assert_close(logits, expected)
    found = gradients(plainly, F.cross_entropy(logits, labels))
    wanted = gradients(ours, F.cross_entropy(expected, labels))
    assert found.keys() == wanted.keys()
    for key, gradient in wanted.items():
        torch.testing.assert_close(found[key], gradient, msg=key)
