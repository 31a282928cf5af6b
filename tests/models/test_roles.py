"""The module that holds a parameter decides its role."""

from typing import ClassVar

import torch
from torch import nn

from models.roles import roles


class Steps(nn.ParameterDict):
    role: ClassVar[str] = "step"


class Quantized(nn.Conv2d):
    """A convolution with learned steps, as a quantizer of weights would own them."""

    def __init__(self, *args: int, **options: int) -> None:
        super().__init__(*args, **options)
        self.quantizer = nn.Module()
        self.quantizer.steps = Steps({"4bit": nn.Parameter(torch.ones(()))})


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = Quantized(1, 4, 3)
        self.depthwise = nn.Conv2d(4, 4, 3, groups=4)
        self.grouped = nn.Conv2d(4, 4, 3, groups=2)
        self.norms = nn.ModuleDict({"8bit": nn.BatchNorm2d(4)})
        self.slope = nn.PReLU(4)
        self.fc = nn.Linear(4, 2)


class Taught(nn.Module):
    """A method that learns something, with a teacher that does not."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.zeros(3))
        self.teacher = nn.Linear(2, 2).requires_grad_(False)


def test_each_kind_of_module_gives_its_parameters_their_role() -> None:
    assert {name: role for name, _, role in roles(Network())} == {
        "conv.weight": "weight",
        "conv.bias": "bias",
        "conv.quantizer.steps.4bit": "step",
        "depthwise.weight": "depthwise",
        "depthwise.bias": "bias",
        "grouped.weight": "weight",
        "grouped.bias": "bias",
        "norms.8bit.weight": "norm",
        "norms.8bit.bias": "norm",
        "slope.weight": "bias",
        "fc.weight": "weight",
        "fc.bias": "bias",
    }


def test_the_parameters_are_the_networks_own_under_its_names() -> None:
    network = Network()
    named = dict(network.named_parameters())
    assert all(parameter is named[name] for name, parameter, _ in roles(network))


def test_a_method_adds_what_it_learns_but_not_its_frozen_teacher() -> None:
    method = Taught()
    *_, (name, parameter, role) = found = roles(nn.Linear(1, 1), method)
    assert (name, role) == ("method.mix", "method")
    assert parameter is method.mix
    assert [one.role for one in found] == ["weight", "bias", "method"]
