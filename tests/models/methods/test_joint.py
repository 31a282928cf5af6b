"""Joint, switchable_bn and adabits: the loss is that of each point alone, the network differs."""

from collections.abc import Callable

import pytest
import torch

from models.methods import METHODS
from models.methods.base import Batch, Method, Step
from models.networks.base import AnyBitNetwork
from models.precision import OperatingPoint
from models.table import resolve

POINTS = tuple(map(OperatingPoint.at, (8, 2)))
NAMES = ("joint", "switchable_bn", "adabits")


def method(name: str) -> Method:
    kind: type[Method] = resolve(METHODS, name)
    return kind(kind.Settings(), POINTS)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", NAMES)
def test_losses_are_the_cross_entropies_of_each_batch_at_each_point(
    tiny: Callable[..., AnyBitNetwork], make_step: Callable[..., Step], name: str
) -> None:
    chosen = method(name)
    network = tiny(bit_widths=(8, 2), layout=chosen.layout).eval()
    batches = [Batch(torch.randn(n, 3, 8, 8), torch.arange(n) % 3) for n in (5, 2)]
    found = list(chosen.losses(network, batches, make_step()))
    assert [(p.point, p.teacher) for p in found] == [
        (point, None) for point in ("8bit", "8bit", "2bit", "2bit")
    ]
    for one, (bits, batch) in zip(found, [(b, x) for b in (8, 2) for x in batches], strict=True):
        expected = -network(batch.inputs, bits).log_softmax(1)[
            range(len(batch.labels)), batch.labels
        ]
        torch.testing.assert_close(one.loss, expected.mean())


@pytest.mark.parametrize(
    ("name", "norms", "clips"), [("joint", 1, 1), ("switchable_bn", 2, 1), ("adabits", 2, 2)]
)
def test_the_methods_differ_in_what_the_points_share(
    tiny: Callable[..., AnyBitNetwork], name: str, norms: int, clips: int
) -> None:
    network = tiny(bit_widths=(8, 2), layout=method(name).layout)
    parameters = [n for n, _ in network.named_parameters()]
    assert sum(n.startswith("layer1.0.bn1.") and n.endswith("weight") for n in parameters) == norms
    assert sum(n.startswith("layer1.0.act1.") for n in parameters) == clips


def test_one_point_alone_is_no_joint_training() -> None:
    kind = resolve(METHODS, "joint")
    with pytest.raises(ValueError, match="'joint' trains two or more bit-widths"):
        kind(kind.Settings(), POINTS[:1])
