"""Independent: the golden ramp, the sum over a plain loop, and what each stage is started from."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.layers.conv import QuantizedConv2d
from models.layers.layout import Layout
from models.layers.norm import TransitionalBatchNorm2d
from models.methods.base import Batch, Step
from models.methods.bitmixer import BitMixer, BitMixerSettings, Drawn, mixed_share
from models.mixed import MIXED
from models.networks.base import AnyBitNetwork
from models.precision import FLOAT, Assignment, OperatingPoint, Precision
from models.quantizers.lsq import LearnedSteps

Tiny = Callable[..., AnyBitNetwork]
MakeStep = Callable[..., Step]
Golden = Callable[[str], dict[str, Any]]
ALL = ("w32a4", "w32a2", 4, "w1a2")
"""The precisions of the first two stages: float weights, then 4 bits and 1 bit."""


def bitmixer(*bit_widths: int | str, **settings: Any) -> BitMixer:
    points = [OperatingPoint.at(bits) for bits in bit_widths]
    return BitMixer(BitMixerSettings(**settings), points)


def batches(count: int = 2) -> list[Batch]:
    return [Batch(torch.randn(8, 3, 16, 16), torch.arange(8) % 3) for _ in range(count)]


def train(network: AnyBitNetwork, method: BitMixer, make_step: MakeStep, **fields: Any) -> str:
    """Take a step of SGD; return what was drawn."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    names = set()
    for name, loss, _ in method.losses(network, batches(), make_step(**fields)):
        loss.backward()
        names.add(name)
    optimizer.step()
    (name,) = names
    return name


def state(network: AnyBitNetwork) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.golden
def test_the_chance_of_a_mix_rises_over_the_first_half_of_the_epochs(golden: Golden) -> None:
    (case,) = (one for one in golden("bitmixer_misc")["cases"] if one["kind"] == "sigma")
    epochs = 2 * case["ramp_epochs"]
    found = {e: mixed_share(case["k"], int(e), epochs) for e in case["one_minus_sigma"]}
    assert found == pytest.approx(case["one_minus_sigma"], abs=1e-12)
    assert mixed_share(0.75, 0, 1) == 0


def test_steps_mix_as_often_as_the_ramp_says_and_all_precisions_equally(
    make_step: MakeStep,
) -> None:
    method = bitmixer(4, 3, 2, stage=3)
    late = [method.draw(19, make_step(index=i, epoch=9)) for i in range(1000)]
    mixes = [drawn.at for drawn in late if isinstance(drawn.at, Assignment)]
    assert len(mixes) / 1000 == pytest.approx(0.75, abs=0.04)
    bits = torch.tensor([[own.weights for own in mix.layers] for mix in mixes])
    shares = [(bits == b).double().mean(dim=0) for b in (4, 3, 2)]
    assert all((share - 1 / 3).abs().max() < 0.08 for share in shares)
    assert (bits[:, 0] == bits[:, 1]).double().mean() == pytest.approx(1 / 3, abs=0.05)
    first = [method.draw(19, make_step(index=i)).name for i in range(600)]
    assert all(first.count(name) / 600 == pytest.approx(1 / 3, abs=0.06) for name in set(first))
    assert set(first) == {"4bit", "3bit", "2bit"}


@pytest.mark.parametrize("stage", [2, 3])
def test_a_draw_depends_on_seed_and_step_alone(make_step: MakeStep, stage: int) -> None:
    def draws(seed: int) -> list[Drawn]:
        steps = (make_step(index=i, epoch=9, seed=seed) for i in range(20))
        return [bitmixer(4, 3, 2, stage=stage).draw(5, step) for step in steps]

    assert draws(0) == draws(0) != draws(1)
    assert MIXED in {one.name for one in draws(0)} or stage == 2


@pytest.mark.parametrize(
    ("stage", "widths"), [(1, ("w32a4", "w32a2")), (2, (4, "w1a2")), (3, (4, 2))]
)
def test_a_step_of_each_stage_trains_what_was_drawn_and_nothing_else(
    tiny: Tiny, make_step: MakeStep, stage: int, widths: tuple[int | str, ...]
) -> None:
    method = bitmixer(*widths, stage=stage)
    network = tiny(bit_widths=widths, layout=method.layout, weights="lsq_floor")
    method.start_phase(network)
    step = make_step(index=3, epoch=8)
    drawn = method.draw(len(network.quantized_layers), step)
    for _, loss, _ in method.losses(network, batches(), step):
        loss.backward()
    at = drawn.at if isinstance(drawn.at, Assignment) else network.assignment(drawn.at)
    pairs = network.layer_precisions(at)
    used = {f"{pair.previous.key}_to_{pair.own.key}" for pair in pairs}
    for name, module in network.named_modules():
        if isinstance(module, TransitionalBatchNorm2d):
            trained = {n for n, one in module.items() if one.weight.grad is not None}
            assert len(trained) == 1
            assert trained <= used, name
    weights = {own.weights for own in at.layers} - {FLOAT}
    steps = [m for m in network.modules() if isinstance(m, LearnedSteps)]
    moved = {n for module in steps for n, one in module.items() if one.grad is not None}
    assert moved == {f"{bits}bit" for bits in weights}
    assert (drawn.name == MIXED) == (stage == 3)


def test_stage_2_starts_from_what_stage_1_trained_at_the_same_activations(
    tiny: Tiny, make_step: MakeStep
) -> None:
    network = tiny(
        bit_widths=ALL, layout=Layout(norm="transitional"), weights="lsq_floor", code_bits=4
    )
    first = bitmixer("w32a4", "w32a2", stage=1)
    assert {train(network, first, make_step, index=i) for i in range(6)} == {"w32a4", "w32a2"}
    before, held = state(network), dict(network.named_parameters())
    bitmixer(4, "w1a2", stage=2).start_phase(network)
    after = state(network)
    started = 0
    for new, old in (("4bit", "w32a4"), ("w1a2", "w32a2")):
        for name in after:
            if f"{new}_to_{new}" in name or f"clip_levels.{new}" in name:
                assert torch.equal(after[name], before[name.replace(new, old)])
                started += not torch.equal(after[name], before[name])
    assert started > 20
    for name, module in network.named_modules():
        if isinstance(module, QuantizedConv2d):
            assert module.quantizer.steps["1bit"] == 2 * module.weight.abs().mean(), name
    assert all(now is held[name] for name, now in network.named_parameters())


@pytest.mark.parametrize(("weights", "new"), [("lsq_floor", {"1bit"}), ("double_rounding", set())])
def test_stage_2_leaves_the_steps_that_have_learned(
    tiny: Tiny, make_step: MakeStep, weights: str, new: set[str]
) -> None:
    """Those of an 8-bit first and last layer, and of bit-widths that stage 2 has trained."""
    floats, quantized = ("w32a4", "w32a3", "w32a2"), (4, 3, "w1a2")
    network = tiny(
        bit_widths=(*floats, *quantized),
        layout=Layout(norm="transitional"),
        weights=weights,
        stem_bits=8,
        head_bits=8,
    )
    for widths, stage in ((floats, 1), (quantized[:2], 2)):
        for index in range(6):
            train(network, bitmixer(*widths, stage=stage), make_step, index=index)
    before = state(network)
    bitmixer(*quantized, stage=2).start_phase(network)
    changed = {n for n, value in state(network).items() if not torch.equal(value, before[n])}
    assert {name.rpartition(".")[2] for name in changed if ".steps." in name} == new
    assert any("w1a2" in name for name in changed)


def test_a_stage_that_goes_on_keeps_what_it_has_trained(tiny: Tiny, make_step: MakeStep) -> None:
    network = tiny(bit_widths=ALL, layout=Layout(norm="transitional"), code_bits=4)
    for widths, stage in ((ALL[:2], 1), (ALL[2:], 2), (ALL[2:], 3)):
        for index in range(4):
            train(network, bitmixer(*widths, stage=stage), make_step, index=index, epoch=9)
    before = state(network)
    for stage in (2, 3):
        bitmixer(*ALL[2:], stage=stage).start_phase(network)
    changed = {
        name for name, value in state(network).items() if not torch.equal(value, before[name])
    }
    assert not {
        name for name in changed if before[name.rpartition(".")[0] + ".num_batches_tracked"]
    }


def test_stage_3_starts_each_unequal_pair_from_the_equal_one(
    tiny: Tiny, make_step: MakeStep
) -> None:
    method = bitmixer(4, 2, stage=3)
    network = tiny(bit_widths=(4, 2), layout=method.layout)
    for index in range(6):
        train(network, bitmixer(4, 2, stage=2), make_step, index=index)
    fresh = state(network)
    bitmixer(4, 2, stage=3, offdiagonal_start="fresh").start_phase(network)
    assert all(torch.equal(value, fresh[name]) for name, value in network.state_dict().items())
    method.start_phase(network)
    after = network.state_dict()
    pairs = [name for name in after if "4bit_to_2bit" in name]
    assert any("running_var" in name for name in pairs)
    equal = {name: after[name.replace("4bit_to_2bit", "2bit_to_2bit")] for name in pairs}
    assert all(torch.equal(after[name], equal[name]) for name in pairs)
    assert any(not torch.equal(after[name], fresh[name]) for name in pairs)


def test_without_transitional_batch_norm_there_is_a_set_for_each_bit_width() -> None:
    assert bitmixer(4, 2, transitional=False).layout == Layout(norm="switchable")
    assert bitmixer(4, 2).layout == Layout(norm="transitional")


def test_the_loss_with_a_teacher_is_that_of_the_formula(tiny: Tiny, make_step: MakeStep) -> None:
    method = bitmixer(4, 2, stage=2, teacher="float", distillation_weight=0.5)
    network = tiny(bit_widths=(4, 2), layout=method.layout)
    wanted = method.wanted_teacher
    assert wanted is not None
    teacher = tiny(bit_widths=(wanted.precision.label,), layout=wanted.layout)
    method.take_teacher(teacher)
    ((x, labels),) = given = batches(1)
    ((name, loss, _),) = method.losses(network, given, make_step())
    loss.backward()
    with torch.no_grad(), network.frozen_statistics():
        student, taught = network(x, name).log_softmax(1), teacher(x, "float").log_softmax(1)
    distance = (taught.exp() * (taught - student)).sum(dim=1).mean()
    assert loss.item() == pytest.approx(
        float(F.nll_loss(student, labels) + 0.5 * distance), rel=1e-5
    )
    assert all(p.grad is None for p in teacher.parameters())
    assert not any(m.num_batches_tracked for m in teacher.modules() if hasattr(m, "running_var"))
    assert set(method.state_dict()) == {f"teacher.{n}" for n in teacher.state_dict()}


def test_the_teacher_of_stage_1_has_its_highest_activations() -> None:
    wanted = bitmixer(4, 3, "w1a2", stage=2, teacher="stage1").wanted_teacher
    assert wanted is not None
    assert wanted.source == "checkpoint"
    assert wanted.precision == Precision(FLOAT, 4)
    assert bitmixer(4, 2).wanted_teacher is None


@pytest.mark.parametrize(
    ("stage", "widths", "problem"),
    [
        (1, (4, 2), "stage 1 trains float weights, such as .*; got .4bit, 2bit."),
        (2, (4, "w32a2"), "stage 2 trains quantized weights"),
        (3, (4,), "trains two or more bit-widths"),
    ],
)
def test_points_of_another_stage_are_refused(
    stage: int, widths: tuple[int | str, ...], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        bitmixer(*widths, stage=stage)


def test_assignments_are_not_drawn(make_step: MakeStep) -> None:
    four, two = Precision(4, 4), Precision(2, 2)
    points = [*map(OperatingPoint.at, (4, 2)), OperatingPoint("best", four, (("layer1", two),))]
    method = BitMixer(BitMixerSettings(stage=2), points)
    assert {method.draw(3, make_step(index=i)).name for i in range(30)} == {"4bit", "2bit"}


def test_settings_without_effect_are_named() -> None:
    def off(epochs: int = 10, **settings: Any) -> set[str]:
        return {key for key, _ in BitMixerSettings(**settings).without_effect(epochs)}

    taught = {"method.teacher_weights", "method.distillation_weight"}
    assert off() == taught
    assert off(stage=2, teacher="float") == {"method.k", "method.offdiagonal_start"}
    assert off(transitional=False, teacher="float") == {"method.offdiagonal_start"}
    assert off(1, teacher="float") == {"method.k"}
