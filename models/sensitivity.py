"""How sensitive the loss is to each layer: the top eigenvalue of its Hessian (Bit-Mixer, HAWQ).

    v_l = the eigenvalue of d^2 L / d W_l^2 that is largest in absolute value

W_l is the quantized weight of layer l, the loss L the mean cross-entropy. Rounding activations has
no second derivative: in its place stands x + (q(x) - x), of which the bracket is a constant.
"""

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.base import AnyBitNetwork
from models.precision import FLOAT, OperatingPoint
from models.quantizers.base import ActivationQuantizer

MOST_ITERATIONS = 100
TOLERANCE = 1e-3
"""Smallest relative change of an eigenvalue with which its search goes on."""


class PowerIteration:
    """The search for the largest eigenvalue of a symmetric matrix, from a random direction.

    value: the present estimate v'Hv. done: it no longer changes.
    """

    def __init__(self, like: Tensor, generator: torch.Generator) -> None:
        direction = torch.randn(like.shape, generator=generator, dtype=like.dtype)
        self.direction = _normalized(direction.to(like.device))
        self.value = 0.0
        self.done = False

    def advance(self, product: Tensor) -> None:
        """Take the next step. product: H times the direction, in its shape."""
        before, self.value = self.value, float((self.direction * product).sum())
        self.done = abs(self.value - before) <= TOLERANCE * abs(self.value)
        self.direction = _normalized(product)


def sensitivities(
    network: AnyBitNetwork,
    point: OperatingPoint,
    batches: Sequence[tuple[Tensor, Tensor]],
    *,
    seed: int = 0,
    after_iteration: Callable[[int], object] = lambda _: None,
) -> dict[str, float]:
    """Return the sensitivity of each quantized layer by its name; the network stays as it is.

    point: at which the network is fixed; its weights must be quantized in every layer.
    batches: inputs and labels, each run in evaluation mode. after_iteration: called with the number
    of layers that are left. Raises ValueError for a layer with float weights.
    """
    assignment = network.assignment(point)
    if any(own.weights == FLOAT for own in assignment.layers):
        raise ValueError(f"at {point.name} some layer has float weights")
    network = _differentiable(network)
    leaves = _weights_as_leaves(network, [own.weights for own in assignment.layers])
    generator = torch.Generator().manual_seed(seed)
    searches = {name: PowerIteration(leaf, generator) for name, leaf in leaves.items()}
    left = dict(searches)
    for _ in range(MOST_ITERATIONS):
        products = _products(network, point, batches, leaves, left)
        for name, product in products.items():
            left[name].advance(product)
        left = {name: search for name, search in left.items() if not search.done}
        after_iteration(len(left))
        if not left:
            break
    return {name: search.value for name, search in searches.items()}


def _products(
    network: nn.Module,
    point: OperatingPoint,
    batches: Iterable[tuple[Tensor, Tensor]],
    leaves: dict[str, Tensor],
    searches: dict[str, PowerIteration],
) -> dict[str, Tensor]:
    """Return for each search its Hessian times its direction, of the mean loss over all samples."""
    chosen = {name: leaves[name] for name in searches}
    products = {name: torch.zeros_like(leaf) for name, leaf in chosen.items()}
    samples = 0
    for inputs, labels in batches:
        samples += len(labels)
        loss = F.cross_entropy(network(inputs, point), labels, reduction="sum")
        gradients = torch.autograd.grad(loss, list(chosen.values()), create_graph=True)
        for (name, leaf), gradient in zip(chosen.items(), gradients, strict=True):
            along = (gradient * searches[name].direction).sum()
            (product,) = torch.autograd.grad(along, leaf, retain_graph=True)
            products[name] += product
    return {name: product / samples for name, product in products.items()}


def _differentiable(network: AnyBitNetwork) -> AnyBitNetwork:
    """Return a copy, for evaluation, whose activations have a second derivative."""
    copy = deepcopy(network).eval().requires_grad_(False)
    copy.compute_in(None)
    for module in copy.modules():
        if isinstance(module, ActivationQuantizer):
            module.register_forward_hook(_straight_through)
    return copy


def _straight_through(quantizer: nn.Module, given: tuple[Any, ...], output: Tensor) -> Tensor:
    assert isinstance(quantizer, ActivationQuantizer)
    values = given[0] if quantizer.signed else F.relu(given[0])
    straight: Tensor = values + (output - values).detach()
    return straight


def _weights_as_leaves(network: AnyBitNetwork, bits: Sequence[int]) -> dict[str, Tensor]:
    """Let each layer compute with a leaf of the graph that holds its quantized weight."""
    leaves: dict[str, Tensor] = {}
    layers = zip(network.quantized_layers, network.convolutions(), bits, strict=True)
    for info, conv, own in layers:
        leaf = conv.weight_at(own).detach().clone().requires_grad_()
        conv.quantizer.register_forward_hook(_always(leaf))
        leaves[info.name] = leaf
    return leaves


def _always(leaf: Tensor) -> Callable[..., Tensor]:
    return lambda *_: leaf


def _normalized(direction: Tensor) -> Tensor:
    """Return a direction of length 1; zero, which has none, as it is."""
    length: Tensor = direction.norm().clamp(min=torch.finfo(direction.dtype).tiny)
    return direction / length
