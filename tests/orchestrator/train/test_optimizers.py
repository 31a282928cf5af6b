"""Groups by role: their learning rates and their decay."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import nn

from models.roles import roles
from models.table import resolve
from orchestrator.job.optimizer import OPTIMIZERS, Adam, AdamW, ClipRole, Optimizer, Role, Sgd
from orchestrator.job.schema import Job
from orchestrator.prepare.build import build_network
from orchestrator.train.optimizers import build_optimizer, learning_rates, set_rates


class Network(nn.Module):
    """Something of every role that a network has."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.depthwise = nn.Conv2d(4, 4, 3, groups=4, bias=False)
        self.norm = nn.BatchNorm2d(4)
        for name in ("clip", "step"):
            held = nn.ParameterDict({"8bit": nn.Parameter(torch.ones(()))})
            held.role = name
            self.add_module(name, held)


def groups_of(**settings: Any) -> dict[str, tuple[float, float]]:
    """Learning rate and decay by role, with two operating points."""
    optimizer = build_optimizer(roles(Network()), Sgd.Settings(**settings), losses=2)
    return {g["name"]: (g["lr"], g["weight_decay"]) for g in optimizer.param_groups}


def test_a_role_without_settings_of_its_own_takes_the_optimizers() -> None:
    assert groups_of(lr=0.4, weight_decay=0.3, clip=ClipRole(lr=0.1, weight_decay=0.2)) == {
        "weight": (0.2, 0.3),
        "depthwise": (0.2, 0.3),
        "bias": (0.2, 0.3),
        "norm": (0.4, 0.3),
        "clip": (0.1, 0.2),
        "step": (0.4, 0.3),
    }


def test_each_role_may_have_a_rate_and_a_decay_of_its_own() -> None:
    own = {
        "depthwise": Role(weight_decay=0),
        "bias": Role(lr=0.6),
        "norm": Role(weight_decay=0, lr=0),
        "step": Role(lr=0.001, weight_decay=0.1),
    }
    assert groups_of(lr=0.4, weight_decay=0.3, **own) == {
        "weight": (0.2, 0.3),
        "depthwise": (0.2, 0.0),
        "bias": (0.3, 0.3),
        "norm": (0.0, 0.0),
        "clip": (0.1, 1e-4),
        "step": (0.001, 0.1),
    }


def test_what_a_method_learns_is_a_group_of_its_own() -> None:
    network, method = nn.Linear(2, 2, bias=False), nn.Linear(1, 1)
    settings = Sgd.Settings(lr=0.4, weight_decay=0.3, method=Role(lr=0.01))
    optimizer = build_optimizer(roles(network, method), settings, losses=2)
    assert learning_rates(optimizer) == {"weight": 0.2, "method": 0.01}
    assert optimizer.param_groups[1]["param_names"] == ["method.weight", "method.bias"]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0]
    decaying = Sgd.Settings(lr=0.4, method=Role(weight_decay=0.1))
    assert decaying.weight_decay_of("method") == 0.1


def test_with_an_undivided_rate_weights_learn_as_fast_as_the_rest() -> None:
    assert {rate for rate, _ in groups_of(lr=0.1, shared_lr_div=False).values()} == {0.1}


def test_a_schedule_multiplies_every_groups_own_peak() -> None:
    optimizer = build_optimizer(roles(Network()), Sgd.Settings(lr=0.4, step=Role(lr=0.2)), losses=2)
    for factor in (0.5, 0.5, 1.0):
        set_rates(optimizer, factor)
    set_rates(optimizer, 0.25)
    rates = learning_rates(optimizer)
    expected = {"weight": 0.05, "depthwise": 0.05, "bias": 0.05, "norm": 0.1, "clip": 0.025}
    assert rates == pytest.approx({**expected, "step": 0.05})


def test_no_decay_on_depthwise_weights_is_a_line_in_a_job(tiny_job: Callable[..., Job]) -> None:
    job = tiny_job("optimizer.depthwise={weight_decay: 0}", "optimizer.weight_decay=0.1")
    optimizer = build_optimizer(roles(Network()), job.optimizer, losses=len(job.points))
    decay = {group["name"]: group["weight_decay"] for group in optimizer.param_groups}
    assert (decay["weight"], decay["depthwise"]) == (0.1, 0.0)


def test_every_parameter_is_in_exactly_one_group(tiny_job: Callable[..., Job]) -> None:
    job = tiny_job()
    network = build_network(job, 3)
    optimizer = build_optimizer(roles(network), job.optimizer, losses=4)
    grouped = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in network.parameters())
    names = [name for group in optimizer.param_groups for name in group["param_names"]]
    assert sorted(names) == sorted(one.name for one in roles(network))


def test_a_parameter_without_gradient_is_not_touched_by_decay_or_momentum(
    tiny_job: Callable[..., Job],
) -> None:
    job = tiny_job()
    network = build_network(job, 3)
    optimizer = build_optimizer(roles(network), job.optimizer, losses=4)
    network(torch.randn(2, 3, 16, 16), 8).sum().backward()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    unused = {name for name, p in network.named_parameters() if p.grad is None}
    optimizer.step()
    assert unused
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, before[name]) == (name in unused)


def by_hand(settings: Optimizer, value: float, gradients: Sequence[float]) -> float:
    """The parameter after its steps, as the papers write them."""
    rate, decay = settings.lr, settings.weight_decay
    first, second, velocity = 0.0, 0.0, None
    for t, gradient in enumerate(gradients, start=1):
        if isinstance(settings, Sgd.Settings):
            pull = gradient + decay * value
            velocity = pull if velocity is None else settings.momentum * velocity + pull
            value -= rate * (pull + settings.momentum * velocity if settings.nesterov else velocity)
            continue
        assert isinstance(settings, Adam.Settings)
        decoupled = isinstance(settings, AdamW.Settings)
        pull = gradient if decoupled else gradient + decay * value
        (b1, b2), value = settings.betas, value * (1 - rate * decay if decoupled else 1)
        first, second = b1 * first + (1 - b1) * pull, b2 * second + (1 - b2) * pull**2
        size = (second / (1 - b2**t)) ** 0.5 + settings.eps
        value -= rate * first / (1 - b1**t) / size
    return value


@pytest.mark.parametrize(
    "settings",
    [
        Sgd.Settings(lr=0.1, weight_decay=0.2, momentum=0.7),
        Sgd.Settings(lr=0.1, weight_decay=0.2, momentum=0.7, nesterov=True),
        Adam.Settings(lr=0.1, weight_decay=0.2, betas=(0.6, 0.8), eps=0.01),
        AdamW.Settings(lr=0.1, weight_decay=0.2, betas=(0.6, 0.8), eps=0.01),
    ],
    ids=lambda settings: settings.name,
)
def test_each_optimizer_takes_the_papers_steps(settings: Optimizer) -> None:
    layer = nn.PReLU(init=1.5, dtype=torch.float64)
    optimizer = build_optimizer(roles(layer), settings, losses=1)
    for gradient in (0.3, -0.5, 0.8):
        layer.weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
    assert layer.weight.item() == pytest.approx(by_hand(settings, 1.5, (0.3, -0.5, 0.8)), abs=1e-12)


def test_every_optimizer_that_a_job_may_name_can_be_built() -> None:
    for name, place in OPTIMIZERS.items():
        settings = resolve({name: place}, name).Settings(lr=0.1)
        assert settings.name == name
        built = build_optimizer(roles(nn.Linear(2, 2)), settings, losses=1)
        assert type(built).__name__.lower() == name
