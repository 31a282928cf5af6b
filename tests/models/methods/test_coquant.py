"""The step of CoQuant: swaps, teachers, gradients, statistics and memory."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional as F

from models.methods.base import Step
from models.methods.coquant import CoQuant, CoQuantSettings
from models.networks.base import AnyBitNetwork
from tests.models.methods.watched import BITS, POINTS, Watched
from tests.models.representatives import ORDERS

Tiny = Callable[..., AnyBitNetwork]
MakeStep = Callable[..., Step]
RESNETS = [name for name in ORDERS if name.startswith("resnet")]


@pytest.mark.parametrize("unit", ["block", "layer"])
@pytest.mark.parametrize("name", RESNETS)
def test_with_p1_zero_the_swapped_forward_is_the_teachers(
    tiny: Tiny, make_step: MakeStep, name: str, unit: str
) -> None:
    network = tiny(name)
    watched = Watched(network, make_step(), p1=0.0, swap_unit=unit)
    for (bits, (_, teacher)), swapped in zip(watched.losses.items(), watched.passes, strict=True):
        assert torch.equal(swapped, network(watched.inputs, teacher or bits))
        assert teacher is None or not torch.equal(swapped, network(watched.inputs, bits))


def test_with_p1_zero_mobilenets_last_convolution_is_still_the_students(
    tiny: Tiny, make_step: MakeStep
) -> None:
    network = tiny("mobilenet_v2_cifar")
    watched = Watched(network, make_step(), p1=0.0)
    assert not torch.equal(watched.passes[0], watched.passes[1])
    tracked = {bits: network.bn2[f"{bits}bit"].num_batches_tracked.item() for bits in BITS}
    assert tracked == dict.fromkeys(BITS, 1)


@pytest.mark.parametrize("name", ORDERS)
def test_the_last_epoch_has_no_swap(tiny: Tiny, make_step: MakeStep, name: str) -> None:
    network = tiny(name)
    watched = Watched(network, make_step(epoch=9, epochs=10, progress=0.95), p1=0.0)
    for bits, logits in zip(BITS, watched.passes, strict=True):
        assert torch.equal(network(watched.inputs, bits), logits)


def test_losses_are_cross_entropy_plus_divergence_from_the_teachers_output(
    tiny: Tiny, make_step: MakeStep
) -> None:
    watched = Watched(tiny(), make_step(), p1=0.5)
    logits = dict(zip(BITS, watched.passes, strict=True))
    for bits, (loss, teacher) in watched.losses.items():
        expected = F.cross_entropy(logits[bits], watched.labels)
        if teacher is not None:
            p = logits[teacher].softmax(dim=1)
            expected += (p * (p.log() - logits[bits].log_softmax(dim=1))).sum(dim=1).mean()
        torch.testing.assert_close(loss.detach(), expected)


def test_a_students_loss_gives_no_gradient_to_what_only_its_teacher_uses(
    tiny: Tiny, make_step: MakeStep
) -> None:
    network = tiny()
    last_epoch = make_step(epoch=9, epochs=10, progress=0.9)
    Watched(network, last_epoch, only=2, teacher_mode="highest")
    for name, parameter in network.named_parameters():
        of_another = any(f".{bits}bit" in name for bits in (8, 6, 4))
        assert (parameter.grad is None) == of_another, name


def test_a_swapped_in_block_trains_the_teachers_batch_norm_and_clip_levels(
    tiny: Tiny, make_step: MakeStep
) -> None:
    network = tiny(clip_init=0.5)
    Watched(network, make_step(), only=2, teacher_mode="highest", p1=0.0)
    gradients = {n: p.grad is not None for n, p in network.named_parameters()}
    assert gradients["layer2.1.bn1.8bit.weight"]
    assert gradients["layer2.1.act1.clip_levels.8bit"]
    assert not gradients["layer2.1.bn1.2bit.weight"]


@pytest.mark.parametrize(("updates", "expected"), [(True, 4), (False, 1)])
def test_swapped_in_blocks_update_the_teachers_statistics_or_not(
    tiny: Tiny, make_step: MakeStep, updates: bool, expected: int
) -> None:
    network = tiny()
    settings = {"p1": 0.0, "teacher_mode": "highest", "swap_updates_bn_stats": updates}
    Watched(network, make_step(), **settings)
    norms = {n: m for n, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)}
    assert norms["layer1.0.bn1.8bit"].num_batches_tracked == expected
    assert norms["layer1.0.bn1.2bit"].num_batches_tracked == 0
    assert norms["bn1"].num_batches_tracked == 4


def test_clean_teacher_logits_come_from_an_extra_pass_that_leaves_no_trace(
    tiny: Tiny, make_step: MakeStep
) -> None:
    network = tiny()
    settings = {"p1": 0.0, "teacher_mode": "recursive"}
    watched = Watched(network, make_step(), teacher_logits="clean", **settings)
    # 8; 6 taught by 8's own pass, which was pure; clean 6, then 4; clean 4, then 2.
    assert len(watched.passes) == 6
    pure = {bits: network(watched.inputs, bits).detach() for bits in (6, 4)}
    assert torch.equal(watched.passes[2], pure[6])
    assert torch.equal(watched.passes[4], pure[4])
    log_p, log_q = (watched.passes[i].log_softmax(dim=1) for i in (4, 5))
    divergence = (log_p.exp() * (log_p - log_q)).sum(dim=1).mean()
    expected = F.cross_entropy(watched.passes[5], watched.labels) + divergence
    torch.testing.assert_close(watched.losses[2][0].detach(), expected)


def test_clean_teacher_logits_leave_statistics_as_reused_ones_do(
    tiny: Tiny, make_step: MakeStep
) -> None:
    buffers = []
    for kind in ("reuse", "clean"):
        torch.manual_seed(1)
        network = tiny()
        Watched(network, make_step(), p1=0.3, teacher_mode="recursive", teacher_logits=kind)
        buffers.append(dict(network.named_buffers()))
    assert all(torch.equal(buffers[0][name], buffers[1][name]) for name in buffers[0])


@pytest.mark.parametrize(
    ("mode", "teachers"),
    [("highest", [None, 8, 8, 8]), ("recursive", [None, 8, 6, 4])],
)
def test_fixed_teachers(
    tiny: Tiny, make_step: MakeStep, mode: str, teachers: list[int | None]
) -> None:
    assert Watched(tiny(), make_step(), teacher_mode=mode).teachers == teachers


def test_random_teachers_are_any_higher_bit_width_and_the_same_for_the_same_step(
    tiny: Tiny, make_step: MakeStep
) -> None:
    network, seen = tiny(), Counter[int | None]()
    chosen = [
        Watched(network, make_step(index=index), teacher_mode="random").teachers
        for index in (*range(12), *range(3))
    ]
    assert chosen[12:] == chosen[:3]
    for first in chosen[:12]:
        assert all(t is None or t > b for t, b in zip(first, BITS, strict=True))
        seen[first[-1]] += 1
    assert seen.keys() == {8, 6, 4}


def test_every_rank_chooses_by_the_same_sums(tiny: Tiny, make_step: MakeStep) -> None:
    """The other rank's outputs decide as much as the rank's own."""
    chosen = []
    for surest in range(3):
        calls = []

        def with_other_rank(
            total: Tensor, surest: int = surest, calls: list[int] = calls
        ) -> Tensor:
            calls.append(len(calls))
            entropy = 0.0 if calls[-1] == surest else 1e6
            return total + torch.tensor([entropy, 1e3], dtype=total.dtype)

        watched = Watched(tiny(), make_step(sum_over_ranks=with_other_rank))
        assert len(calls) == 3
        chosen.append(watched.teachers[-1])
    assert chosen == [8, 6, 4]


def test_a_distant_teacher_is_not_chosen_when_distance_weighs_much(
    tiny: Tiny, make_step: MakeStep
) -> None:
    network = tiny()
    distance = {bits: network.weight_distance(bits, 2).item() for bits in (8, 6, 4)}
    teacher = Watched(network, make_step(), **{"lambda": 1e6}).teachers[-1]
    assert teacher == min(distance, key=lambda bits: distance[bits])


def test_settings_go_by_the_papers_letters_and_by_their_names() -> None:
    by_letter = CoQuantSettings.model_validate({"lambda": 0.5, "p1": 0.9})
    assert by_letter == CoQuantSettings(distance_weight=0.5, swap_probability=0.9)


@pytest.mark.parametrize("wrong", [{"p1": 1.5}, {"lambda": -1.0}, {"teacher_mode": "nearest"}])
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CoQuantSettings.model_validate(wrong)


OF_SWAPS = ["swap_unit", "swap_updates_bn_stats", "p1_update"]
ALONE = ["ifd_weight", "ensemble_swap"]
"""What does nothing with one teacher whose output is all that is learned."""


@pytest.mark.parametrize(
    ("settings", "epochs", "expected"),
    [
        ({}, 2, ALONE),
        ({"distillation": "features"}, 2, ["ensemble_swap"]),
        ({"teacher_mode": "random"}, 2, [*ALONE, "lambda"]),
        ({"teacher_mode": "recursive"}, 2, [*ALONE, "lambda"]),
        ({"teacher_mode": "highest"}, 2, [*ALONE, "lambda", "teacher_logits"]),
        ({"p1": 1.0}, 2, [*ALONE, *OF_SWAPS]),
        ({}, 1, [*ALONE, "p1", *OF_SWAPS]),
        ({"p1": 1.0}, 1, [*ALONE, "p1", *OF_SWAPS]),
        ({"distillation": "none"}, 2, [*ALONE, "teacher_logits"]),
        (
            {"distillation": "none", "p1": 1.0},
            2,
            [*ALONE, *OF_SWAPS, "teacher_logits", "lambda", "teacher_mode"],
        ),
        ({"teacher_mode": "average"}, 2, ["ifd_weight", "lambda", "p1", *OF_SWAPS]),
        ({"teacher_mode": "learned", "ensemble_swap": True}, 2, ["ifd_weight"]),
        (
            {"teacher_mode": "learned", "ensemble_swap": True},
            1,
            [*ALONE, "lambda", "p1", *OF_SWAPS],
        ),
    ],
)
def test_settings_that_others_or_a_single_epoch_disable_are_known(
    settings: dict[str, Any], epochs: int, expected: list[str]
) -> None:
    off = CoQuantSettings(**settings).without_effect(epochs)
    assert sorted(key for key, _ in off) == sorted(f"method.{key}" for key in expected)


DISABLED = {
    "lambda": (0.0, 1e6),
    "p1": (0.0, 1.0),
    "teacher_mode": ("recursive", "highest"),
    "teacher_logits": ("reuse", "clean"),
    "ifd_weight": (0.0, 5.0),
    "ensemble_swap": (False, True),
    "swap_unit": ("block", "layer"),
    "swap_updates_bn_stats": (True, False),
    "p1_update": ("epoch", "iteration"),
}


@pytest.mark.parametrize(
    ("settings", "epochs"),
    [
        ({"teacher_mode": "highest"}, 10),
        ({"p1": 1.0}, 10),
        ({}, 1),
        ({"distillation": "none", "p1": 1.0}, 10),
        ({"teacher_mode": "average"}, 10),
    ],
)
def test_a_setting_that_is_disabled_changes_no_loss_and_no_statistics(
    tiny: Tiny, make_step: MakeStep, settings: dict[str, Any], epochs: int
) -> None:
    off = CoQuantSettings(**settings).without_effect(epochs)
    for key in [key.removeprefix("method.") for key, _ in off]:
        results = []
        for value in DISABLED[key]:
            torch.manual_seed(1)
            network = tiny(depths=(1, 1))
            watched = Watched(network, make_step(epochs=epochs), **settings | {key: value})
            results.append([*(loss for loss, _ in watched.losses.values()), *network.buffers()])
        assert all(map(torch.equal, *results)), key


def test_the_highest_bit_width_is_that_of_the_codes() -> None:
    assert CoQuant(CoQuantSettings(), POINTS[1:3]).code_bits == 6
