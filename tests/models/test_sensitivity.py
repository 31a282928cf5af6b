"""Independent: eigenvalues of dense Hessians."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd.functional import hessian
from torch.nn import functional as F

from models.networks.base import AnyBitNetwork
from models.precision import OperatingPoint
from models.quantizers.pact import Pact
from models.sensitivity import PowerIteration, sensitivities

Tiny = Callable[..., AnyBitNetwork]


@pytest.fixture
def network(tiny: Tiny) -> AnyBitNetwork:
    """Two layers of two channels, in float64, at its trained statistics."""
    network = tiny(bit_widths=(4, 2), widths=(2,), depths=(1,), clip_init=1.0).double()
    network(torch.randn(16, 3, 6, 6, dtype=torch.float64), 4)
    return network.eval()


@pytest.fixture
def batches() -> list[tuple[Tensor, Tensor]]:
    """Batches of unequal sizes."""
    return [
        (torch.randn(size, 3, 6, 6, dtype=torch.float64), torch.arange(size) % 3) for size in (5, 3)
    ]


def dense(
    network: AnyBitNetwork, batches: list[tuple[Tensor, Tensor]], layer: str, at: OperatingPoint
) -> Tensor:
    """The whole Hessian of the mean loss with respect to one layer's quantized weight."""
    module = network.get_submodule(layer)
    weight = module.weight_at(at.precision.weights).detach()
    inputs, labels = (torch.cat(part) for part in zip(*batches, strict=True))

    def loss(flat: Tensor) -> Tensor:
        module.quantizer.forward = lambda *_: flat.view_as(weight)
        return F.cross_entropy(network(inputs, at), labels)

    found: Tensor = hessian(loss, weight.flatten())
    del module.quantizer.forward
    return found


def straight_through(quantizer: Pact) -> Callable[..., Tensor]:
    """x + (q(x) - x), where only the first x is differentiated."""

    def quantize(inputs: Tensor, at: object) -> Tensor:
        with torch.no_grad():
            rounded = Pact.quantize(quantizer, inputs, at)  # type: ignore[arg-type]
        return inputs + (rounded - inputs).detach()

    return quantize


def test_a_sensitivity_is_the_largest_eigenvalue_of_the_dense_hessian(
    network: AnyBitNetwork, batches: list[tuple[Tensor, Tensor]]
) -> None:
    at = OperatingPoint.at(4)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = sensitivities(network, at, batches)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert list(found) == [info.name for info in network.quantized_layers]
    for module in network.modules():
        if isinstance(module, Pact):
            module.quantize = straight_through(module)  # type: ignore[method-assign]
    for layer, value in found.items():
        eigenvalues = torch.linalg.eigvalsh(dense(network, batches, layer, at))
        largest = eigenvalues[eigenvalues.abs().argmax()]
        assert abs(value) > 1e-6
        assert value == pytest.approx(float(largest), rel=0.02)


@pytest.mark.parametrize("top", [5.0, -5.0])
def test_power_iteration_finds_the_eigenvalue_of_a_quadratic(top: float) -> None:
    basis, _ = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64))
    matrix = basis @ torch.diag(torch.tensor([top, 2.0, 1.0, -3.0]).double()) @ basis.T
    leaf = torch.zeros(2, 2, dtype=torch.float64, requires_grad=True)
    search = PowerIteration(leaf, torch.Generator().manual_seed(0))
    steps = 0
    while not search.done:
        loss = 0.5 * leaf.flatten() @ matrix @ leaf.flatten() + leaf.sum()
        (gradient,) = torch.autograd.grad(loss, leaf, create_graph=True)
        (product,) = torch.autograd.grad((gradient * search.direction).sum(), leaf)
        search.advance(product)
        steps += 1
    assert search.value == pytest.approx(top, rel=5e-3)
    assert 1 < steps < 60


def test_a_loss_that_does_not_depend_on_a_layer_ends_the_search(network: AnyBitNetwork) -> None:
    with torch.no_grad():
        network.get_parameter("fc.weight").zero_()
    found = sensitivities(
        network, OperatingPoint.at(2), [(torch.randn(4, 3, 6, 6).double(), torch.zeros(4).long())]
    )
    assert set(found.values()) == {0.0}


def test_float_weights_are_refused(tiny: Tiny) -> None:
    with pytest.raises(ValueError, match="at w32a4 some layer has float weights"):
        sensitivities(tiny(bit_widths=("w32a4",)), OperatingPoint.at("w32a4"), [])
