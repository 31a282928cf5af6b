"""The ablations of CoQuant (Table 8): each loss written again from its definition."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.methods.base import Step
from models.methods.coquant import CoQuant, CoQuantSettings
from models.networks.base import AnyBitNetwork
from models.roles import roles
from tests.models.methods.watched import BITS, POINTS, Watched, batch
from tests.models.representatives import ORDERS

Tiny = Callable[..., AnyBitNetwork]
MakeStep = Callable[..., Step]


def divergence(target: Tensor, logits: Tensor) -> Tensor:
    """Return KL(target || softmax(logits)), as a mean over the batch."""
    return (target * (target.log() - logits.log_softmax(dim=1))).sum(dim=1).mean()


def test_without_distillation_a_swapped_student_learns_from_the_labels_alone(
    tiny: Tiny, make_step: MakeStep
) -> None:
    network = tiny()
    watched = Watched(network, make_step(), p1=0.0, distillation="none")
    for (bits, (loss, teacher)), logits in zip(watched.losses.items(), watched.passes, strict=True):
        assert torch.equal(logits, network(watched.inputs, teacher or bits))
        torch.testing.assert_close(loss.detach(), F.cross_entropy(logits, watched.labels))


def with_shares(method: CoQuant, shares: list[list[float]]) -> CoQuant:
    with torch.no_grad():
        for parameter, values in zip(method.shares, shares, strict=True):
            parameter.copy_(torch.tensor(values))
    return method


@pytest.mark.parametrize(
    "shares", [[[0.0], [0.0, 0.0], [0.0, 0.0, 0.0]], [[2.0], [1.0, -1.0], [0.5, 0.1, -3.0]]]
)
def test_students_learn_from_the_weighted_sum_of_what_all_higher_points_predict(
    tiny: Tiny, make_step: MakeStep, shares: list[list[float]]
) -> None:
    method = CoQuant(CoQuantSettings(teacher_mode="learned", p1=0.0), POINTS)
    watched = Watched(tiny(), make_step(), with_shares(method, shares))
    soft = [logits.softmax(dim=1) for logits in watched.passes]
    for k, (loss, teacher) in enumerate(watched.losses.values()):
        expected = F.cross_entropy(watched.passes[k], watched.labels)
        if k > 0:
            weights = torch.tensor(shares[k - 1]).exp()
            parts = zip(weights / weights.sum(), soft[:k], strict=True)
            expected += divergence(
                torch.stack([w * p for w, p in parts]).sum(dim=0), watched.passes[k]
            )
        torch.testing.assert_close(loss.detach(), expected)
        assert teacher is None


def test_equal_shares_are_those_before_anything_is_learned(tiny: Tiny, make_step: MakeStep) -> None:
    losses = []
    for mode in ("average", "learned"):
        torch.manual_seed(1)
        losses.append(
            [loss for loss, _ in Watched(tiny(), make_step(), teacher_mode=mode).losses.values()]
        )
    assert all(map(torch.equal, *losses))
    assert not list(CoQuant(CoQuantSettings(teacher_mode="average"), POINTS).parameters())


def test_shares_learn_from_the_loss_of_their_student_alone(tiny: Tiny, make_step: MakeStep) -> None:
    method = CoQuant(CoQuantSettings(teacher_mode="learned"), POINTS)
    Watched(tiny(clip_init=0.5), make_step(), method, only=2)
    assert method.shares[0].grad is method.shares[1].grad is None
    assert method.shares[2].grad is not None
    assert method.shares[2].grad.abs().min() > 0


def test_learned_shares_are_parameters_of_the_method(tiny: Tiny) -> None:
    method = CoQuant(CoQuantSettings(teacher_mode="learned"), POINTS)
    own = [one for one in roles(tiny(), method) if one.role == "method"]
    assert [(one.name, one.parameter.tolist()) for one in own] == [
        ("method.shares.0", [0.0]),
        ("method.shares.1", [0.0, 0.0]),
        ("method.shares.2", [0.0, 0.0, 0.0]),
    ]


@pytest.mark.parametrize("mode", ["average", "learned"])
def test_several_teachers_get_no_gradient_and_lend_no_block(
    tiny: Tiny, make_step: MakeStep, mode: str
) -> None:
    network = tiny()
    watched = Watched(network, make_step(), only=2, teacher_mode=mode, p1=0.0)
    for name, parameter in network.named_parameters():
        of_another = any(f".{bits}bit" in name for bits in (8, 6, 4))
        assert (parameter.grad is None) == of_another, name
    for bits, logits in zip(BITS, watched.passes, strict=True):
        assert torch.equal(logits, network(watched.inputs, bits))


def test_several_teachers_may_lend_the_blocks_of_the_one_that_scores_best(
    tiny: Tiny, make_step: MakeStep
) -> None:
    network = tiny()
    alone = Watched(network, make_step(), p1=0.0).teachers
    watched = Watched(network, make_step(), p1=0.0, teacher_mode="average", ensemble_swap=True)
    for bits, lender, logits in zip(BITS, alone, watched.passes, strict=True):
        assert torch.equal(logits, network(watched.inputs, lender or bits))
    assert watched.teachers == [None] * 4


def outputs_of_blocks(network: AnyBitNetwork, inputs: Tensor, bits: int) -> list[Tensor]:
    with torch.no_grad(), network.frozen_statistics(), network.block_outputs() as outputs:
        network(inputs, bits)
    return list(outputs)


@pytest.mark.parametrize("logits", ["reuse", "clean"])
def test_block_outputs_are_compared_with_those_of_the_teacher_without_swaps(
    tiny: Tiny, make_step: MakeStep, logits: str
) -> None:
    network = tiny()
    settings = {"p1": 1.0, "teacher_mode": "recursive", "teacher_logits": logits}
    torch.manual_seed(1)
    plain = Watched(network, make_step(), **settings)
    torch.manual_seed(1)
    watched = Watched(network, make_step(), distillation="features", ifd_weight=0.3, **settings)
    own = {bits: outputs_of_blocks(network, watched.inputs, bits) for bits in BITS}
    assert len(own[8]) == 3
    for bits, teacher in ((8, None), (6, 8), (4, 6), (2, 4)):
        expected = plain.losses[bits][0].detach()
        if teacher is not None:
            pairs = zip(own[bits], own[teacher], strict=True)
            gaps = torch.stack([(mine - theirs).abs().mean() for mine, theirs in pairs])
            assert gaps.min() > 0
            expected = expected + 0.3 * gaps.mean()
        torch.testing.assert_close(watched.losses[bits][0].detach(), expected)


def test_learning_from_blocks_gives_no_gradient_to_the_teacher_and_leaves_its_statistics(
    tiny: Tiny, make_step: MakeStep
) -> None:
    buffers, gradients = [], []
    for kind in ("logits", "features"):
        torch.manual_seed(1)
        network = tiny()
        settings: dict[str, Any] = {"p1": 1.0, "teacher_mode": "highest", "distillation": kind}
        Watched(network, make_step(), only=2, **settings)
        for name, parameter in network.named_parameters():
            of_another = any(f".{bits}bit" in name for bits in (8, 6, 4))
            assert (parameter.grad is None) == of_another, name
        buffers.append(dict(network.named_buffers()))
        gradients.append(network.get_submodule("layer1.0.conv1").weight.grad)
    assert all(torch.equal(buffers[0][name], buffers[1][name]) for name in buffers[0])
    assert not torch.equal(gradients[0], gradients[1])


@pytest.mark.parametrize("name", ORDERS)
def test_block_outputs_are_those_of_the_blocks_of_the_layers_in_their_order(
    tiny: Tiny, name: str
) -> None:
    network = tiny(name)
    modules = dict(network.backbone.named_modules())
    blocks = [
        next(n for n, m in modules.items() if m is block) for block in network.swappable_blocks
    ]
    for info in network.quantized_layers:
        inside = [number for number, b in enumerate(blocks) if info.name.startswith(f"{b}.")]
        assert inside == ([] if info.block is None else [info.block])
    outputs = outputs_of_blocks(network, batch().inputs, 4)
    assert len(outputs) == len(blocks)
    assert not any(block._forward_hooks for block in network.swappable_blocks)


@pytest.mark.parametrize("kind", ["none", "features"])
def test_several_teachers_have_no_blocks_to_learn_from(kind: Any) -> None:
    settings = CoQuantSettings(teacher_mode="average", distillation=kind)
    [(key, problem)] = CoQuant.mistakes(settings, POINTS)
    assert key == "method.distillation"
    assert f"expected is 'logits', got '{kind}'" in problem
