"""Weights of one network in another that runs at other precisions."""

import pytest
import torch
from torch import nn

from models import NETWORKS, build_network
from models.checkpoint_weights import load_checkpoint_weights
from models.networks.base import AnyBitNetwork
from models.quantizers import ACTIVATION_QUANTIZERS, WEIGHT_QUANTIZERS
from models.quantizers.settings import QuantizerSettings
from models.table import resolve
from tests.models.precisions import precisions


def network(*precisions: str, width: int = 4, shared_norm: bool = False) -> nn.Module:
    """A convolution with batch norm and clip levels by precision, of random values."""
    module = nn.Module()
    module.conv = nn.Conv2d(3, width, 1)
    module.bn = (
        nn.BatchNorm2d(width)
        if shared_norm
        else nn.ModuleDict({name: nn.BatchNorm2d(width) for name in precisions})
    )
    module.clip_levels = nn.ParameterDict(
        {name: nn.Parameter(torch.rand(())) for name in precisions}
    )
    for value in module.parameters():
        nn.init.normal_(value.data)
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.num_batches_tracked.fill_(9)
    return module


def copied(target: nn.Module, source: nn.Module) -> set[str]:
    """The names that hold the values of the source now."""
    given = source.state_dict()
    found = target.state_dict()
    floating = {name for name, value in found.items() if value.is_floating_point()}
    return {name for name in floating & given.keys() if torch.equal(found[name], given[name])}


def test_what_both_run_at_is_copied_and_the_rest_stays_and_is_named() -> None:
    source, target = network("8bit", "4bit"), network("8bit", "w1a4", "2bit")
    untrained = load_checkpoint_weights(target, source.state_dict())
    assert untrained == (["w1a4", "2bit"], [], False)
    assert {"conv.weight", "conv.bias", "bn.8bit.weight", "clip_levels.8bit"} <= copied(
        target, source
    )


def test_a_network_with_no_precision_in_common_gets_what_all_share() -> None:
    source, target = network("8bit"), network("4bit")
    assert load_checkpoint_weights(target, source.state_dict()).wholly == ["4bit"]
    assert copied(target, source) == {"conv.weight", "conv.bias"}


def test_what_a_network_lacks_may_be_borrowed_from_its_nearest_precision() -> None:
    source, target = network("8bit", "4bit"), network("8bit", "6bit", "w3a4", "2bit")
    assert load_checkpoint_weights(target, source.state_dict(), borrow=True) == ([], [], False)
    given, found = source.state_dict(), target.state_dict()
    nearest = {"8bit": "8bit", "6bit": "8bit", "w3a4": "4bit", "2bit": "4bit"}
    for own, other in nearest.items():
        for name in ("bn.{}.weight", "bn.{}.running_var", "clip_levels.{}"):
            assert torch.equal(found[name.format(own)], given[name.format(other)]), (own, name)


def test_nothing_is_borrowed_from_what_was_never_trained() -> None:
    source, target = network("8bit", "4bit"), network("3bit")
    source.bn["4bit"].num_batches_tracked.zero_()
    load_checkpoint_weights(target, source.state_dict(), borrow=True)
    assert torch.equal(target.bn["3bit"].weight, source.bn["8bit"].weight)
    assert torch.equal(target.clip_levels["3bit"], source.clip_levels["8bit"])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (network("8bit", width=6), r"of another shape \(conv.weight \(4, 3, 1, 1\) instead of"),
        (
            network("8bit", shared_norm=True),
            r"another layout.*\(batch norm: 8bit instead of shared\)",
        ),
        (nn.Sequential(nn.Conv2d(3, 4, 1)), r"missing.*unexpected"),
    ],
)
def test_another_network_is_refused_and_nothing_is_copied(other: nn.Module, message: str) -> None:
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        load_checkpoint_weights(other, network("8bit").state_dict())
    assert all(torch.equal(before[name], value) for name, value in other.state_dict().items())


def test_what_the_trained_network_shares_is_copied_to_every_precision() -> None:
    source, target = network("shared", shared_norm=True), network("8bit", "4bit")
    assert load_checkpoint_weights(target, source.state_dict()) == ([], [], False)
    for name in ("8bit", "4bit"):
        assert torch.equal(target.bn[name].weight, source.bn.weight)  # type: ignore[index,union-attr]
        assert target.clip_levels[name] == source.clip_levels["shared"]  # type: ignore[index]


def test_shared_clip_levels_are_copied_beside_switched_batch_norm() -> None:
    source, target = network("8bit", "4bit"), network("8bit", "4bit")
    source.clip_levels = network("shared").clip_levels
    assert load_checkpoint_weights(target, source.state_dict()) == ([], [], False)
    assert torch.equal(target.bn["4bit"].weight, source.bn["4bit"].weight)  # type: ignore[index]
    assert target.clip_levels["4bit"] == source.clip_levels["shared"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("given", "steps"), [(False, "none instead of 8bit"), (True, "8bit instead of none")]
)
def test_another_weight_quantizer_is_named_as_what_differs(given: bool, steps: str) -> None:
    source, target = network("8bit"), network("8bit")
    stepped = source if given else target
    stepped.conv.steps = nn.ParameterDict({"8bit": nn.Parameter(torch.ones(()))})
    with pytest.raises(ValueError, match=rf"quantizers.*\(learned steps: {steps}\)"):
        load_checkpoint_weights(target, source.state_dict())


def test_quantized_weights_start_from_what_float_ones_have_at_the_same_activations() -> None:
    source = network("w32a4", "w32a2", "w32a4_to_w32a2")
    target = network("4bit", "w1a2", "4bit_to_w1a2", "3bit")
    target.conv.steps = nn.ParameterDict({"4bit": nn.Parameter(torch.ones(()))})
    source.act, target.act = nn.Module(), nn.Module()
    source.act.steps = nn.ParameterDict({"w32a4": nn.Parameter(torch.rand(()))})
    target.act.steps = nn.ParameterDict({"4bit": nn.Parameter(torch.rand(()))})
    assert load_checkpoint_weights(target, source.state_dict()) == (["3bit"], [], True)
    given, found = source.state_dict(), target.state_dict()
    for own in ("4bit", "w1a2", "4bit_to_w1a2"):
        named = own.replace("4bit", "w32a4").replace("w1a2", "w32a2")
        for name in ("bn.{}.running_var", "clip_levels.{}"):
            assert torch.equal(found[name.format(own)], given[name.format(named)])
    assert found["act.steps.4bit"] == given["act.steps.w32a4"]
    assert found["conv.steps.4bit"] == 1


def test_a_precision_whose_batch_norm_never_saw_a_batch_was_not_trained() -> None:
    source, target = network("8bit", "4bit"), network("8bit", "4bit")
    source.bn["4bit"].num_batches_tracked.zero_()  # type: ignore[index]
    before = target.clip_levels["4bit"].item()  # type: ignore[index]
    assert load_checkpoint_weights(target, source.state_dict()) == (["4bit"], [], False)
    assert target.clip_levels["4bit"].item() == before  # type: ignore[index]


def test_a_precision_that_was_trained_in_some_layers_only_is_copied_and_named() -> None:
    source, target = network("8bit", "4bit"), network("8bit", "4bit")
    for module in (source, target):
        module.bn2 = network("8bit", "4bit").bn
    source.bn["4bit"].num_batches_tracked.zero_()  # type: ignore[index]
    assert load_checkpoint_weights(target, source.state_dict()) == ([], ["4bit"], False)
    assert {"bn.4bit.weight", "bn2.4bit.weight"} <= copied(target, source)


def test_steps_of_other_codes_are_named_as_not_trained() -> None:
    source, target = network("4bit"), network("4bit")
    for module, codes in ((source, "8bit"), (target, "4bit")):
        module.conv.steps = nn.ParameterDict({codes: nn.Parameter(torch.rand(()))})
    before = target.conv.steps["4bit"].item()  # type: ignore[index]
    assert load_checkpoint_weights(target, source.state_dict()) == ([], [], True)
    assert target.conv.steps["4bit"].item() == before  # type: ignore[index]


def with_activations(kind: str, *names: str) -> AnyBitNetwork:
    """A ResNet whose quantizers of activations have values of their own at each precision."""
    network = build_network(
        resolve(NETWORKS, "resnet18_preact_cifar").Settings(widths=(4, 8), depths=(1, 1)),
        QuantizerSettings(activations=resolve(ACTIVATION_QUANTIZERS, kind).Settings()),
        precisions=precisions(*names),
        num_classes=3,
    )
    for number, quantizer in enumerate(network.activations(), start=1):
        for tensor in (*quantizer.parameters(), *quantizer.buffers()):
            tensor.detach().fill_(number)
    for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.num_batches_tracked.fill_(9)
    return network


@pytest.mark.parametrize(
    ("kind", "what"),
    [("lsq_floor", "learned steps of activations"), ("moving_range", "ranges of activations")],
)
def test_what_quantizers_of_activations_took_from_data_is_copied_by_precision(
    kind: str, what: str
) -> None:
    source, target = with_activations(kind, 4, "w4a2"), with_activations(kind, 4, 1)
    for quantizer in target.activations():
        for tensor in (*quantizer.parameters(), *quantizer.buffers()):
            tensor.detach().zero_()
    untrained = load_checkpoint_weights(target, source.state_dict())
    assert untrained == (["1bit"], [], False)
    state = target.state_dict()
    own = [name for name in state if "act" in name]
    assert {bool(state[name] > 0) for name in own if "4bit" in name} == {True}
    assert {bool(state[name] > 0) for name in own if "1bit" in name} == {False}
    with pytest.raises(ValueError, match=rf"another layout.*{what}: none instead of "):
        load_checkpoint_weights(target, with_activations("pact", 4).state_dict())


def quantized_by(kind: str, *names: str, code_bits: int) -> AnyBitNetwork:
    """A ResNet of learned steps that has been trained, by its batch norm's counts."""
    weights, activations = (
        resolve(table, name).Settings()
        for table, name in ((WEIGHT_QUANTIZERS, kind), (ACTIVATION_QUANTIZERS, "lsq_floor"))
    )
    network = build_network(
        resolve(NETWORKS, "resnet18_preact_cifar").Settings(widths=(4, 8), depths=(1, 1)),
        QuantizerSettings(weights=weights, activations=activations),
        precisions=precisions(*names),
        num_classes=3,
        code_bits=code_bits,
    )
    for quantizer in network.activations():
        for step in quantizer.parameters():
            nn.init.constant_(step, 0.3)
    for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.num_batches_tracked.fill_(9)
    return network


def test_a_borrowed_step_spans_the_range_that_it_has_at_the_bits_it_comes_from() -> None:
    source = quantized_by("lsq_floor", 8, code_bits=8)
    target = quantized_by("lsq_floor", 8, 2, code_bits=8)
    load_checkpoint_weights(target, source.state_dict(), borrow=True)
    for layer, trained in zip(target.convolutions(), source.convolutions(), strict=True):
        eight, two = (layer.quantizer.steps[f"{bits}bit"].item() for bits in (8, 2))
        assert eight == trained.quantizer.steps["8bit"].item()
        assert two == pytest.approx(127 * eight)
    for quantizer in target.activations():
        assert quantizer.input_steps["2bit"].item() == pytest.approx(127 * 0.3)


def test_a_borrowed_step_of_wider_codes_leaves_the_weights_as_they_are() -> None:
    source = quantized_by("double_rounding", 4, code_bits=4)
    target = quantized_by("double_rounding", 8, 4, code_bits=8)
    load_checkpoint_weights(target, source.state_dict(), borrow=True)
    for layer, trained in zip(target.convolutions(), source.convolutions(), strict=True):
        step = trained.quantizer.steps["4bit"].item()
        assert (layer.weight_at(4) - trained.weight_at(4)).abs().max() <= 1.001 * step
        assert (layer.weight_at(4) == trained.weight_at(4)).float().mean() > 0.9
