"""Independent: the golden vectors, and statistics computed from what flows into each layer."""

from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from models.calibrate import calibrate
from models.layers.layout import Layout
from models.layers.norm import SharedBatchNorm2d, SwitchableBatchNorm2d
from models.networks.base import AnyBitNetwork
from models.precision import OperatingPoint
from tests.far_device import FAR, far_device

FOUR = OperatingPoint.at(4)


class OnlyNorm(nn.Module):
    """Nothing but batch norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, dtype=torch.float64)

    def forward(self, inputs: Tensor, point: OperatingPoint) -> Tensor:
        """Normalize; the point does not matter."""
        output: Tensor = self.norm(inputs)
        return output


@pytest.fixture
def batches() -> list[Tensor]:
    return [torch.randn(size, 3, 8, 8) + size for size in (4, 5, 3)]


def after_training(network: AnyBitNetwork, batches: list[Tensor]) -> AnyBitNetwork:
    """Return the network with statistics other than the first ones, in training mode."""
    network.train()
    with torch.no_grad():
        for bits in (8, 4):
            network(batches[0] * 3, OperatingPoint.at(bits))
    return network


@pytest.mark.golden
def test_statistics_are_the_golden_ones(golden: Callable[[str], dict[str, Any]]) -> None:
    data = golden("metrics")
    cases = [case for case in data["cases"] if case["kind"] == "bn_calibration"]
    assert cases
    for case in cases:
        network = OnlyNorm(len(case["running_mean"]))
        batches = [torch.tensor(batch, dtype=torch.float64) for batch in case["batches"]]
        network(batches[0] + 7, FOUR)
        network.norm.running_var.fill_(torch.inf)  # even this has no part in what follows
        calibrate({FOUR: network}, batches)
        assert network.norm.running_mean.tolist() == pytest.approx(
            case["running_mean"], abs=data["abs"]
        )
        assert network.norm.running_var.tolist() == pytest.approx(
            case["running_var"], abs=data["abs"]
        )


@pytest.mark.parametrize("norm", ["switchable", "shared", "transitional"])
def test_statistics_of_every_layer_are_those_of_what_flows_into_it(
    tiny: Callable[..., AnyBitNetwork], batches: list[Tensor], norm: Literal["switchable"]
) -> None:
    network = tiny(layout=Layout(norm=norm)).double()
    after_training(network, [batch.double() for batch in batches])
    seen: dict[nn.BatchNorm2d, list[Tensor]] = {}
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for one in norms:
        one.register_forward_hook(lambda one, inputs, _: seen.setdefault(one, []).append(inputs[0]))
    calibrate({FOUR: network}, [batch.double() for batch in batches])
    assert 1 < len(seen) <= len(norms)
    assert (len(seen) == len(norms)) == (norm == "shared")
    for one, inputs in seen.items():
        means = [x.transpose(0, 1).flatten(1).mean(dim=1) for x in inputs]
        variances = [x.transpose(0, 1).flatten(1).var(dim=1) for x in inputs]
        torch.testing.assert_close(one.running_mean, sum(means) / 3)
        torch.testing.assert_close(one.running_var, sum(variances) / 3)


def test_layers_normalize_with_the_statistics_of_the_batch_meanwhile(
    tiny: Callable[..., AnyBitNetwork], batches: list[Tensor]
) -> None:
    network = after_training(tiny(), batches)
    means: list[Tensor] = []
    norm = network.get_submodule("bn1")
    norm.register_forward_hook(lambda _norm, _inputs, output: means.append(output.mean((0, 2, 3))))
    calibrate({FOUR: network}, batches)
    torch.testing.assert_close(torch.stack(means), torch.zeros(3, 4), atol=1e-5, rtol=0)


def test_only_statistics_of_the_point_change_and_all_modes_are_as_before(
    tiny: Callable[..., AnyBitNetwork], batches: list[Tensor]
) -> None:
    network = after_training(tiny(dropout=0.5), batches)
    network.layer1.eval()
    for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.1, 0.1)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    random = torch.get_rng_state()
    calibrate({FOUR: network}, batches)
    after = network.state_dict()
    assert before.keys() == after.keys()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    assert all(name.endswith(statistics) for name in changed)
    other = {f".{bits}." for bits in (8, 6, 2)} | {f".{bits}bit." for bits in (8, 6, 2)}
    assert not any(part in name for part in other for name in changed)
    kinds = [type(module) for module in network.modules()]
    used = kinds.count(SwitchableBatchNorm2d) + kinds.count(SharedBatchNorm2d)
    assert len(changed) == used * len(statistics)
    assert [module.training for module in network.modules()] == modes
    assert {m.momentum for m in network.modules() if isinstance(m, nn.BatchNorm2d)} == {0.1}
    assert torch.equal(torch.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_training_goes_on_afterwards_as_if_nothing_had_happened(
    tiny: Callable[..., AnyBitNetwork], batches: list[Tensor]
) -> None:
    network = after_training(tiny(), batches)
    calibrate({FOUR: network}, batches)
    norm = network.get_submodule("bn1")
    assert isinstance(norm, nn.BatchNorm2d)
    expected = 0.9 * norm.running_mean
    inputs: list[Tensor] = []
    norm.register_forward_hook(lambda _norm, given, _: inputs.append(given[0]))
    network(batches[1], FOUR)
    expected += 0.1 * inputs[0].mean(dim=(0, 2, 3))
    torch.testing.assert_close(norm.running_mean, expected)


def test_copies_of_a_network_are_calibrated_together_as_each_alone(
    tiny: Callable[..., AnyBitNetwork], batches: list[Tensor]
) -> None:
    points = [OperatingPoint.at(bits) for bits in (8, 2)]
    together = {point: after_training(tiny(), batches) for point in points}
    alone = {point: after_training(tiny(), batches) for point in points}
    for group in (together, alone):
        for point in points:
            group[point].load_state_dict(together[points[0]].state_dict())
    calibrate(together, iter(batches))
    for point, network in alone.items():
        calibrate({point: network}, batches)
        for name, value in network.state_dict().items():
            assert torch.equal(value, together[point].state_dict()[name]), name


def test_without_a_batch_nothing_changes(
    tiny: Callable[..., AnyBitNetwork], batches: list[Tensor]
) -> None:
    network = after_training(tiny(), batches)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    calibrate({FOUR: network}, [])
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_calibration_waits_for_nothing(tiny: Callable[..., AnyBitNetwork]) -> None:
    network = tiny(bit_widths=(8, 4))
    with far_device() as waits:
        network.to(FAR)
        batches = [torch.randn(2, 3, 8, 8).to(FAR) for _ in range(2)]
        waits.clear()
        calibrate({FOUR: network}, batches)
        assert waits == []
