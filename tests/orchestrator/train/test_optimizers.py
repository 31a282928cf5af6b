from collections.abc import Callable

import pytest
import torch

from orchestrator.job.schema import Job
from orchestrator.prepare.build import build_network_and_method
from orchestrator.train.optimizers import build_optimizer, learning_rates, set_rates


def test_shared_weights_learn_at_a_share_of_the_rate(tiny_job: Callable[..., Job]) -> None:
    job = tiny_job("optimizer.lr=0.4", "optimizer.clip.lr=0.2", "optimizer.clip.weight_decay=0.3")
    network, _ = build_network_and_method(job, 3)
    optimizer = build_optimizer(network, job.optimizer)
    set_rates(optimizer, 1.0)
    assert learning_rates(optimizer) == {"shared": 0.1, "norm": 0.4, "clip": 0.2}
    assert {g["name"]: g["weight_decay"] for g in optimizer.param_groups} == {
        "shared": 5e-4,
        "norm": 5e-4,
        "clip": 0.3,
    }
    undivided = job.optimizer.model_copy(update={"shared_lr_div": False})
    whole = build_optimizer(network, undivided)
    set_rates(whole, 0.5)
    assert learning_rates(whole)["shared"] == pytest.approx(0.2)


def test_every_parameter_is_in_exactly_one_group(tiny_job: Callable[..., Job]) -> None:
    job = tiny_job()
    network, _ = build_network_and_method(job, 3)
    optimizer = build_optimizer(network, job.optimizer)
    grouped = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in network.parameters())


def test_a_parameter_without_gradient_is_not_touched_by_decay_or_momentum(
    tiny_job: Callable[..., Job],
) -> None:
    job = tiny_job()
    network, _ = build_network_and_method(job, 3)
    optimizer = build_optimizer(network, job.optimizer)
    network(torch.randn(2, 3, 16, 16), 8).sum().backward()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    unused = {name for name, p in network.named_parameters() if p.grad is None}
    optimizer.step()
    assert unused
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, before[name]) == (name in unused)
