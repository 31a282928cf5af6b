"""What every method of the table must do, on tiny networks in its layout."""

import gc
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from models.methods import METHODS
from models.methods.base import Batch, Method, Step
from models.networks.base import AnyBitNetwork
from models.precision import FLOAT, OperatingPoint
from models.roles import roles
from models.table import resolve
from tests.models.representatives import ORDERS_AND_METHODS, TRAINING

Tiny = Callable[..., AnyBitNetwork]
MakeStep = Callable[..., Step]
methods = pytest.mark.parametrize("method_name", TRAINING)
orders_and_methods = pytest.mark.parametrize(("name", "method_name"), ORDERS_AND_METHODS)


def images(batch: int = 4) -> Tensor:
    return torch.randn(batch, 3, 16, 16)


def method_at(name: str, *bit_widths: int) -> Method:
    """A method with its default settings, at 4 bits alone or in float if it refuses several."""
    method_class: type[Method] = resolve(METHODS, name)
    settings = method_class.Settings(name=name)
    for widths in (bit_widths, (4,), (FLOAT,)):
        points = [OperatingPoint.at(bits) for bits in widths]
        if not method_class.mistakes(settings, points):
            return method_class(settings, points)
    raise AssertionError(
        f"{name} trains neither several bit-widths, nor one, nor the float network"
    )


def network_of(tiny: Tiny, network_name: str, method: Method, **settings: Any) -> AnyBitNetwork:
    """A network with the points and in the layout of a method."""
    names = tuple(point.name for point in method.points)
    return tiny(network_name, bit_widths=names, layout=method.layout, **settings)


def train(
    network: AnyBitNetwork, method: Method, make_step: MakeStep, steps: int = 1
) -> dict[str, Tensor]:
    """Train a few steps of two batches and return the weights."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    batches = [Batch(images(8), torch.arange(8) % 3) for _ in range(2)]
    for index in range(steps):
        seen = []
        for point, loss, _ in method.losses(network, batches, make_step(index=index)):
            assert loss.isfinite()
            loss.backward()
            seen.append(point)
        chosen = [point.name for point in method.points if point.name in seen]
        assert seen == [name for name in chosen for _ in batches] != []
        optimizer.step()
        optimizer.zero_grad()
    return {name: value.clone() for name, value in network.state_dict().items()}


@orders_and_methods
def test_a_step_of_every_method_moves_weights_batch_norm_and_clip_levels(
    tiny: Tiny, make_step: MakeStep, name: str, method_name: str
) -> None:
    method = method_at(method_name, 8, 4, 2)
    network = network_of(tiny, name, method)
    before = {n: v.clone() for n, v in network.state_dict().items()}
    after = train(network, method, make_step)
    moved: dict[str, bool] = {}
    for n, _, role in roles(network):
        moved[role] = moved.get(role, False) or not torch.equal(before[n], after[n])
    assert all(moved.values()), moved
    assert ("clip" in moved) == method.settings.quantized


@orders_and_methods
def test_the_same_seed_gives_the_same_weights_bit_for_bit(
    tiny: Tiny, make_step: MakeStep, name: str, method_name: str
) -> None:
    runs = []
    method = method_at(method_name, 8, 2)
    for _ in range(2):
        torch.manual_seed(1)
        network = network_of(tiny, name, method, dropout=0.5)
        runs.append(train(network, method, make_step, steps=2))
    assert all(torch.equal(runs[0][key], runs[1][key]) for key in runs[0])


class Saved:
    """A tensor that autograd keeps for a backward pass."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor.detach()  # itself it would hold the graph that holds this


class SavedTensors:
    """Counts the tensors that autograd keeps at a time."""

    def __init__(self) -> None:
        self.alive: WeakSet[Saved] = WeakSet()

    def counted(self) -> saved_tensors_hooks:
        return saved_tensors_hooks(self._pack, lambda saved: saved.tensor)

    def _pack(self, tensor: Tensor) -> Saved:
        saved = Saved(tensor)
        self.alive.add(saved)
        return saved


@methods
def test_no_activation_outlives_its_pass(tiny: Tiny, make_step: MakeStep, method_name: str) -> None:
    """Even without backward: the generator holds no reference to what it has yielded."""
    method, tensors = method_at(method_name, 8, 4, 2), SavedTensors()
    network = network_of(tiny, "resnet18_cifar", method)
    batches = [Batch(images(8), torch.arange(8) % 3) for _ in range(2)]
    gc.disable()  # what only a garbage collection would free counts as kept
    try:
        with tensors.counted():
            losses = method.losses(network, batches, make_step())
            while (loss := next(losses, None)) is not None:
                assert len(tensors.alive) > 20
                del loss
                assert len(tensors.alive) == 0
    finally:
        gc.enable()


@methods
def test_during_a_pass_only_its_own_activations_are_held(
    tiny: Tiny, make_step: MakeStep, method_name: str
) -> None:
    method, tensors = method_at(method_name, 8, 4, 2), SavedTensors()
    network = network_of(tiny, "resnet18_cifar", method)
    batches = [Batch(images(8), torch.arange(8) % 3) for _ in range(2)]
    counts = []
    with tensors.counted():
        for loss in method.losses(network, batches, make_step()):
            counts.append(len(tensors.alive))
            loss.loss.backward()
    assert max(counts) < 1.2 * counts[0]
