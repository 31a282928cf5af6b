"""Evaluation over any number of ranks counts each sample once and gives one result."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from orchestrator.errors import Diverged
from orchestrator.spec.job import Job
from orchestrator.train.evaluate import _judge, _run, evaluate
from orchestrator.train.ranks import Ranks
from orchestrator.train.setup import build_parts

CPU = torch.device("cpu")


@pytest.mark.parametrize("world", [2, 3, 4, 11])
def test_the_result_does_not_depend_on_the_number_of_ranks(
    tiny_job: Callable[..., Job], world: int
) -> None:
    parts = build_parts(tiny_job(), CPU)
    network, dataset = parts.network, parts.val_set
    alone = evaluate(network, dataset, Ranks(), batch=4)
    network.eval()
    with torch.no_grad():
        shares = [
            _run(network, dataset, Ranks(rank, world), batch=2, loader_workers=0)
            for rank in range(world)
        ]
    together = _judge(shares, dataset, network.bit_widths)
    assert sorted(i for share in shares for i in share.indices) == list(range(len(dataset)))
    assert together.samples == alone.samples == len(dataset) == 9
    assert together.metric == alone.metric
    for bits, loss in alone.loss.items():
        assert together.loss[bits] == pytest.approx(loss, rel=1e-5)


def test_evaluation_leaves_the_network_as_it_was(tiny_job: Callable[..., Job]) -> None:
    parts = build_parts(tiny_job(), CPU)
    before: dict[str, Any] = {k: v.clone() for k, v in parts.network.state_dict().items()}
    parts.network.train()
    evaluate(parts.network, parts.val_set, Ranks(), batch=4)
    assert parts.network.training
    assert all(torch.equal(before[k], v) for k, v in parts.network.state_dict().items())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_scores_that_are_no_numbers_end_the_evaluation_whatever_the_metric_says(
    tiny_job: Callable[..., Job], value: float
) -> None:
    parts = build_parts(tiny_job(), CPU)
    network = parts.network
    forward = network.forward

    def poisoned(inputs: torch.Tensor, bits: int) -> torch.Tensor:
        logits = forward(inputs, bits)
        if bits in (6, 2):
            logits[-1, 0] = value  # the class of the first pictures only: others keep their loss
        return logits

    network.forward = poisoned  # type: ignore[method-assign]
    with pytest.raises(Diverged, match="at 6, 2 bits"):
        evaluate(network, parts.val_set, Ranks(), batch=9)
