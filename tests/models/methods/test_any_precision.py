"""Any-Precision against its formula: each point learns from what the next higher one put out."""

from collections.abc import Callable
from typing import Literal

import pytest
import torch

from models.methods.any_precision import AnyPrecision, AnyPrecisionSettings
from models.methods.base import Batch, Step
from models.networks.base import AnyBitNetwork
from models.precision import OperatingPoint

BITS = (8, 4, 2)
POINTS = tuple(map(OperatingPoint.at, BITS))


@pytest.mark.parametrize("labels", ["all", "highest"])
def test_losses_and_gradients_are_those_of_the_formula(
    tiny: Callable[..., AnyBitNetwork],
    make_step: Callable[..., Step],
    labels: Literal["all", "highest"],
) -> None:
    network = tiny(bit_widths=BITS).double().eval()
    batches = [Batch(torch.randn(n, 3, 8, 8).double(), torch.arange(n) % 3) for n in (5, 2)]
    method = AnyPrecision(AnyPrecisionSettings(labels=labels), POINTS)
    found = list(method.losses(network, batches, make_step()))
    assert [p.teacher for p in found] == [None, None, "8bit", "8bit", "4bit", "4bit"]
    assert [p.point for p in found] == ["8bit", "8bit", "4bit", "4bit", "2bit", "2bit"]
    sum(p.loss for p in found).backward()  # type: ignore[union-attr]
    gradients = {n: p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}
    network.zero_grad()
    expected = [
        by_formula(network, batch, bits, above, labels == "all")
        for above, bits in zip((None, *BITS), BITS, strict=False)
        for batch in batches
    ]
    for one, loss in zip(found, expected, strict=True):
        assert one.loss.item() == pytest.approx(loss.item(), abs=1e-12)
    sum(expected).backward()  # type: ignore[union-attr]
    for name, parameter in network.named_parameters():
        assert (parameter.grad is None) == (name not in gradients)
        if parameter.grad is not None:
            torch.testing.assert_close(gradients[name], parameter.grad, rtol=0, atol=1e-10)


def by_formula(
    network: AnyBitNetwork, batch: Batch, bits: int, above: int | None, sees_labels: bool
) -> torch.Tensor:
    q = network(batch.inputs, bits).softmax(dim=1)
    loss = q.sum() * 0
    if above is None or sees_labels:
        loss = loss - q[range(len(q)), batch.labels].log().mean()
    if above is not None:
        p = network(batch.inputs, above).softmax(dim=1).detach()
        loss = loss + (p * (p.log() - q.log())).sum(dim=1).mean()
    return loss
