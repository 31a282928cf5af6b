"""What weights lose at bit-widths for which nothing trained them, and what calibration gives back.

The pattern is CoQuant's (Table 1): a float model is lost at every bit-width; with batch norm
calibrated 8, 6 and 4 bits are near to it, and 2 bits are not.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.calibrate import calibrate
from models.float_weights import load_float_weights
from models.methods.direct import Direct, DirectSettings
from models.networks.base import AnyBitNetwork
from models.precision import FLOAT, OperatingPoint, Precision

Tiny = Callable[..., AnyBitNetwork]
CLASSES = 8
POINTS = [OperatingPoint.at(bits) for bits in (8, 6, 4, 2)]
MIXED = OperatingPoint("mixed", Precision(8, 8), (("layer1.0.conv1", Precision(4, 4)),))


def waves(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noisy waves of eight directions, and which direction it is."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    angle = (labels * torch.pi / CLASSES)[:, None, None]
    y, x = torch.meshgrid(torch.arange(12.0), torch.arange(12.0), indexing="ij")
    phase = 6.3 * torch.rand(count, 1, 1, generator=generator)
    wave = torch.sin(1.2 * (x * angle.cos() + y * angle.sin()) + phase)
    noise = torch.randn(count, 3, 12, 12, generator=generator)
    return wave[:, None] + 2 * noise, labels


@pytest.fixture(scope="module")
def data() -> dict[str, tuple[Tensor, Tensor]]:
    return {"train": waves(512, seed=1), "val": waves(256, seed=2)}


def top1(network: AnyBitNetwork, point: int | OperatingPoint, data: tuple[Tensor, Tensor]) -> float:
    network.eval()
    with torch.no_grad():
        right = network(data[0], point).argmax(dim=1) == data[1]
    return 100 * right.double().mean().item()


def test_a_float_model_is_lost_at_all_bit_widths_and_regained_by_calibration_except_at_two(
    tiny: Tiny, data: dict[str, tuple[Tensor, Tensor]]
) -> None:
    shape = {"num_classes": CLASSES, "widths": (8, 16), "clip_init": 8.0}
    floating = tiny(bit_widths=(FLOAT,), **shape)
    optimizer = torch.optim.SGD(floating.parameters(), lr=0.05, momentum=0.9)
    inputs, labels = data["train"]
    for epoch in range(8):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - epoch / 8)
        for part in torch.randperm(len(labels)).split(32):
            optimizer.zero_grad()
            F.cross_entropy(floating(inputs[part], FLOAT), labels[part]).backward()
            optimizer.step()
    network = tiny(code_bits=Direct(DirectSettings(), POINTS).code_bits, **shape)
    load_float_weights(
        network, {n.replace(".32bit", ""): v for n, v in floating.state_dict().items()}
    )
    reached = top1(floating, FLOAT, data["val"])
    lost = [top1(network, point, data["val"]) for point in POINTS]
    calibrate(dict.fromkeys(POINTS, network), inputs.split(64))
    regained = [top1(network, point, data["val"]) for point in POINTS]
    assert reached > 95
    assert max(lost) < 60
    assert min(regained[:3]) > reached - 3
    assert 50 < regained[3] < reached - 20


def test_points_that_share_batch_norm_cannot_each_be_calibrated() -> None:
    points = [OperatingPoint.at(8), MIXED]
    [(key, problem)] = Direct.mistakes(DirectSettings(calibrate=True), points)
    assert key == "quantizer.assignment"
    assert problem.startswith("'mixed' shares batch norm with other points")
    assert not Direct.mistakes(DirectSettings(), points)


def test_codes_are_those_of_individual_runs() -> None:
    assert Direct(DirectSettings(), POINTS[2:]).code_bits == 8
