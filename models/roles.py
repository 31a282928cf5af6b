"""The role of each parameter, which decides its learning rate and weight decay."""

from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

Role = Literal["weight", "depthwise", "bias", "norm", "clip", "step", "method"]
"""Depth-wise convolutions' weights and all others; biases, and the slopes of PReLUs, which are no
more to decay (He et al., Delving Deep into Rectifiers); batch norm's weights and biases; clip
levels; learned quantization steps; what a method itself learns."""

ROLES: tuple[Role, ...] = get_args(Role)


class NamedParameter(NamedTuple):
    """A parameter, its name in the network (a method's: `method.` and the name there), its role."""

    name: str
    parameter: nn.Parameter
    role: Role


def roles(network: nn.Module, method: nn.Module | None = None) -> tuple[NamedParameter, ...]:
    """Return every parameter of a network once, and those that its method learns.

    The module that holds a parameter decides. One whose parameters have a role of their own, such
    as the clip levels of a quantizer, says so with a class attribute `role`.
    """
    own = list(_of_method(method)) if method is not None else []
    return (*_of_network(network), *own)


def _of_network(network: nn.Module) -> Iterator[NamedParameter]:
    for prefix, module in network.named_modules():
        for name, parameter in module.named_parameters(prefix, recurse=False):
            yield NamedParameter(name, parameter, _role(module, name.rpartition(".")[2]))


def _of_method(method: nn.Module) -> Iterator[NamedParameter]:
    for name, parameter in method.named_parameters():
        if parameter.requires_grad:  # A frozen teacher's parameters do not learn.
            yield NamedParameter(f"method.{name}", parameter, "method")


def _role(owner: nn.Module, name: str) -> Role:
    given: Role | None = getattr(owner, "role", None)
    if given is not None:
        return given
    if isinstance(owner, _BatchNorm):
        return "norm"
    if name == "bias" or isinstance(owner, nn.PReLU):
        return "bias"
    depthwise = isinstance(owner, nn.Conv2d) and owner.groups == owner.in_channels > 1
    return "depthwise" if depthwise else "weight"
