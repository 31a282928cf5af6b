"""Which quantized layers are said to compute in floats, and which do."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from models.kernels import FloatKernel, Packed
from models.networks.base import AnyBitNetwork
from models.precision import OperatingPoint, Precision

Tiny = Callable[..., AnyBitNetwork]

FIRST = "layers.0.conv1"
DEPTHWISE = {f"layers.{block}.conv2" for block in range(5)}
PRECISIONS = (8, 2, "w4a32", "w32a4", "float")
MIXED = OperatingPoint("mixed", Precision(8, 8), ((FIRST, Precision.parse("w4a32")),))


class Noting(FloatKernel):
    """Notes the layers whose codes it is given."""

    def __init__(self) -> None:
        object.__setattr__(self, "layers", [])

    def pack(self, weight: Tensor, conv: nn.Conv2d, at: Precision) -> Packed:
        """Pack as usual."""
        self.layers.append(conv)
        return super().pack(weight, conv, at)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(
    ("points", "in_floats"),
    [
        ([8, 2], DEPTHWISE),
        (["float", 8], DEPTHWISE),
        ([MIXED], DEPTHWISE | {FIRST}),
        ([MIXED, 2], DEPTHWISE),
        (["w4a32"], None),
        (["w32a4"], None),
        (["float"], None),
    ],
    ids=["8, 2", "float, 8", "mixed", "mixed, 2", "w4a32", "w32a4", "float"],
)
def test_the_layers_in_floats_are_those_that_no_kernel_is_given(
    tiny: Tiny,
    points: list[OperatingPoint | int | str],
    in_floats: set[str] | None,
    training: bool,
) -> None:
    network, kernel = tiny("mobilenet_v2_cifar", bit_widths=PRECISIONS), Noting()
    network.train(training).compute_in(kernel)
    with torch.set_grad_enabled(training):
        for point in points:
            network(torch.randn(2, 3, 16, 16), point)
    names = {layer: name for name, layer in network.named_modules()}
    all_names = {info.name for info in network.quantized_layers}
    found = set(network.in_floats(points))
    assert found == all_names - {names[layer] for layer in kernel.layers}
    assert found == (all_names if in_floats is None else in_floats)


def test_without_a_kernel_all_quantized_layers_are_in_floats_in_their_order(tiny: Tiny) -> None:
    network = tiny()
    assert network.in_floats([8]) == tuple(info.name for info in network.quantized_layers)
