"""Each paper's networks with its quantizers: in codes as in values, at every point."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from models.kernels import kernel_for
from models.layers.layout import Layout
from models.networks.base import AnyBitNetwork

Tiny = Callable[..., AnyBitNetwork]

ADABITS = {
    "weights": "adabits",
    "activations": "pact",
    "bit_widths": (8, 6, 5, 4),
    "stem_bits": 8,
    "head_bits": 8,
    "stem_bn_shared": False,
}
BIT_MIXER = {
    "weights": "lsq_floor",
    "activations": "lsq_floor",
    "bit_widths": (4, 3, 2, 1),
    "layout": Layout(norm="transitional"),
}
ONE_WEIGHT = {
    "weights": "one_weight",
    "activations": "moving_range",
    "bit_widths": ("w4a4", "w2a4", "w1a4"),
    "stem_bits": 8,
    "head_bits": 8,
}


@pytest.mark.parametrize(
    ("name", "system"),
    [
        ("mobilenet_v1", ADABITS),
        ("mobilenet_v2", ADABITS),
        ("resnet50", ADABITS | {"shortcut_quantizer": "own", "quantize_identity": False}),
        ("resnet18_preact", BIT_MIXER),
        ("resnet50_preact", BIT_MIXER),
        ("ebn", BIT_MIXER),
        ("resnet_cifar", ONE_WEIGHT),
        ("inv_resnet26", ONE_WEIGHT),
        ("mobilenet_v2_oneweight", ONE_WEIGHT),
        ("vgg11", ONE_WEIGHT),
    ],
)
def test_a_papers_network_runs_with_its_quantizers_in_codes_as_in_values(
    tiny: Tiny, name: str, system: dict[str, Any]
) -> None:
    network = tiny(name, **system)
    images = torch.randn(4, 3, 16, 16)
    for point in network.precisions:
        network(images, point.label).square().mean().backward()  # ranges are found in training
    assert all(p.grad is not None and p.grad.isfinite().all() for _, p in trained(network))
    network.eval()
    logits = {}
    for kernel in (None, kernel_for(torch.device("cpu"))):
        network.compute_in(kernel)
        with torch.no_grad():
            found = [network(images, point.label) for point in network.precisions]
        logits[kernel] = torch.stack(found)
    in_values, in_codes = logits.values()
    assert in_values.isfinite().all()
    # A code that lies on a tie may differ, and what follows it.
    assert (in_codes - in_values).norm() < 0.02 * in_values.norm()


def trained(network: AnyBitNetwork) -> list[tuple[str, torch.nn.Parameter]]:
    """The parameters that uniform points use: no batch norm of a transition between others."""
    named = network.named_parameters()
    return [(n, p) for n, p in named if "_to_" not in n or is_diagonal(n)]


def is_diagonal(name: str) -> bool:
    before, own = next(part for part in name.split(".") if "_to_" in part).split("_to_")
    return before == own
