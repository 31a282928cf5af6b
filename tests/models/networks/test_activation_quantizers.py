"""Networks whose activations are quantized in other ways than PACT's: in integers as in floats."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.kernels import kernel_for
from models.networks.base import AnyBitNetwork

Tiny = Callable[..., AnyBitNetwork]
KERNEL = kernel_for(torch.device("cpu"))

each_kind = pytest.mark.parametrize(
    ("name", "activations", "bits"),
    [
        ("resnet18_preact_cifar", "lsq_floor", 4),
        ("resnet18_preact_cifar", "lsq_floor", 1),
        ("mobilenet_v2_cifar", "lsq_floor", 4),
        ("mobilenet_v2_cifar", "moving_range", 3),
    ],
)


def started(tiny: Tiny, name: str, activations: str, bits: int, images: Tensor) -> AnyBitNetwork:
    network = tiny(name, activations=activations, bit_widths=(bits,))
    with torch.no_grad(), network.frozen_statistics(), network.starting_from_data():
        network(images, bits)
    assert not any(quantizer.waits_for_data for quantizer in network.activations())
    assert not any(quantizer.starting for quantizer in network.activations())
    return network


@each_kind
def test_integers_give_logits_and_gradients_of_floats_up_to_rounding(
    tiny: Tiny, name: str, activations: str, bits: int
) -> None:
    images, labels = torch.randn(4, 3, 16, 16), torch.tensor([0, 1, 2, 0])
    network = started(tiny, name, activations, bits, images)
    logits, gradients = [], []
    for kernel in (None, KERNEL):
        network.compute_in(kernel)
        network.zero_grad()
        logits.append(network(images, bits))
        F.cross_entropy(logits[-1], labels).backward()
        gradients.append({n: p.grad for n, p in network.named_parameters() if p.grad is not None})
    # A code that lies on a tie may differ, and what follows it.
    assert (logits[1] - logits[0]).norm() < 0.02 * logits[0].norm()
    assert gradients[1].keys() == gradients[0].keys()
    exactly, by_codes = (torch.cat([g[n].flatten() for n in gradients[0]]) for g in gradients)
    assert F.cosine_similarity(exactly, by_codes, dim=0) > 0.98


@each_kind
def test_an_evaluation_in_integers_gives_the_logits_of_floats_up_to_rounding(
    tiny: Tiny, name: str, activations: str, bits: int
) -> None:
    images = torch.randn(4, 3, 16, 16)
    network = started(tiny, name, activations, bits, images)
    for _ in range(20):
        network(images, bits)
    network.eval()
    with torch.no_grad():
        expected = network(images, bits)
        network.compute_in(KERNEL)
        assert (network(images, bits) - expected).norm() < 0.02 * expected.norm()
