"""The gradients of a convolution, against those of float64."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from models.layers import backward
from models.layers.backward import gradients

SHAPES = {
    "3x3": nn.Conv2d(5, 40, 3, padding=1),
    "3x3, strided": nn.Conv2d(6, 40, 3, stride=2, padding=1),
    "5x5": nn.Conv2d(3, 70, 5, padding=2),
    "grouped": nn.Conv2d(6, 42, 3, padding=1, groups=3),
    "1x1, strided": nn.Conv2d(7, 80, 1, stride=2),
}
FEW = {"3x3", "3x3, strided", "5x5"}


def as_they_are(inputs: Tensor) -> Tensor:
    return inputs


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(("height", "width"), [(4, 4), (5, 3), (1, 1), (1, 7), (40, 30)])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_they_are_those_of_float64(
    name: str, height: int, width: int, layout: torch.memory_format
) -> None:
    conv = SHAPES[name]
    inputs = torch.randn(3, conv.in_channels, height, width).to(memory_format=layout)
    weight = conv.weight.detach()
    values, exact = (t.double().requires_grad_() for t in (inputs, weight))
    output = F.conv2d(values, exact, None, conv.stride, conv.padding, 1, conv.groups)
    grad = torch.randn(output.shape).to(memory_format=layout)
    expected = torch.autograd.grad(output, (values, exact), grad.double())
    for wanted in ((True, True), (True, False), (False, True)):
        found = gradients(conv, grad, inputs, as_they_are, lambda: weight, wanted)
        for gradient, reference, asked in zip(found, expected, wanted, strict=True):
            if asked:
                assert gradient is not None
                assert gradient.shape == reference.shape
                assert (gradient - reference).abs().max() <= 1e-5 * reference.abs().max()


@pytest.mark.parametrize("name", SHAPES)
def test_a_product_is_taken_for_many_filters_over_few_positions(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows of many positions would take nine times the memory of the inputs."""
    conv, taken = SHAPES[name], []
    product = backward._product
    monkeypatch.setattr(backward, "_product", lambda *of: taken.append(1) or product(*of))
    for size in (4, 32):
        inputs = torch.randn(2, conv.in_channels, size, size)
        grad = torch.ones_like(conv(inputs))
        gradients(conv, grad, inputs, as_they_are, conv.weight.detach, (True, True))
        assert bool(taken) == (name in FEW)
    assert len(taken) == (name in FEW)


class Asked(TorchDispatchMode):
    """Notes which gradients torch's own backward is asked for: inputs, weight and bias."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket is torch.ops.aten.convolution_backward:
            self.mask = args[-1]
        return func(*args, **kwargs or {})


@pytest.mark.parametrize(("positions", "few"), [(10, True), (11, False)])
def test_two_positions_for_each_filter_are_few_and_nothing_is_computed_twice(
    positions: int, few: bool
) -> None:
    conv, inputs = nn.Conv2d(3, 5, 3, padding=1), torch.randn(1, 3, 1, positions)
    with Asked() as asked:
        gradients(
            conv, conv(inputs).detach(), inputs, as_they_are, conv.weight.detach, (True, True)
        )
    assert asked.mask == [True, not few, False]
