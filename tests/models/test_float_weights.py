"""Float models into networks: what is copied, what is refused."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from models.float_weights import load_float_weights
from models.networks.base import AnyBitNetwork

Tiny = Callable[..., AnyBitNetwork]


@pytest.fixture
def float_model(tiny: Tiny) -> dict[str, Tensor]:
    """The state dict of a float ResNet: one set of batch norm, no clip levels."""
    single = tiny("resnet18", bit_widths=(8,)).state_dict()
    return {
        name.replace(".8bit.", "."): torch.randn(value.shape).to(value.dtype)
        for name, value in single.items()
        if "clip_levels" not in name and "normalize" not in name
    }


def test_batch_norm_goes_into_every_bit_width_and_clip_levels_stay(
    tiny: Tiny, float_model: dict[str, Tensor]
) -> None:
    network = tiny("resnet18", clip_init=5.0)
    assert load_float_weights(network, float_model) == []
    state = network.state_dict()
    for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
        for precision in network.precisions:
            expected = float_model[f"layer2.0.downsample.1.{part}"]
            assert torch.equal(state[f"layer2.0.downsample.1.{precision.label}.{part}"], expected)
    assert torch.equal(state["layer1.0.conv2.weight"], float_model["layer1.0.conv2.weight"])
    assert {level.item() for level in network.clip_levels()["2bit"]} == {5.0}


@pytest.mark.parametrize("activations", ["moving_range", "lsq_floor"])
def test_a_float_model_has_nothing_of_quantizers(
    tiny: Tiny, float_model: dict[str, Tensor], activations: str
) -> None:
    network = tiny("resnet18", activations=activations, weights="lsq_floor")
    assert load_float_weights(network, float_model) == []
    assert all(quantizer.waits_for_data for quantizer in network.activations())


@pytest.mark.parametrize("stem_bn_shared", [True, False])
def test_the_stem_is_loaded_shared_or_switched(
    tiny: Tiny, float_model: dict[str, Tensor], stem_bn_shared: bool
) -> None:
    network = tiny("resnet18", stem_bn_shared=stem_bn_shared)
    load_float_weights(network, float_model)
    name = "bn1.running_mean" if stem_bn_shared else "bn1.4bit.running_mean"
    assert torch.equal(network.state_dict()[name], float_model["bn1.running_mean"])


def test_a_clip_network_takes_an_image_model(tiny: Tiny, float_model: dict[str, Tensor]) -> None:
    network = tiny("resnet18", num_segments=2)
    load_float_weights(network, float_model)
    assert torch.equal(network.backbone.fc.weight, float_model["fc.weight"])


def test_a_linear_layer_of_other_classes_is_left_out_and_named(
    tiny: Tiny, float_model: dict[str, Tensor]
) -> None:
    network = tiny("resnet18", num_classes=7)
    before = network.fc.weight.clone()
    assert sorted(load_float_weights(network, float_model)) == ["fc.bias", "fc.weight"]
    assert torch.equal(network.fc.weight, before)
    assert torch.equal(network.conv1.weight, float_model["conv1.weight"])


def test_everything_that_does_not_fit_is_counted_and_nothing_is_copied(
    tiny: Tiny, float_model: dict[str, Tensor]
) -> None:
    del float_model["layer1.0.bn1.bias"]
    float_model["layer9.0.conv1.weight"] = torch.zeros(1)
    float_model["conv1.weight"] = torch.zeros(4, 3, 3, 3)
    network = tiny("resnet18")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ValueError, match="does not fit") as caught:
        load_float_weights(network, float_model)
    assert str(caught.value) == (
        "the float model does not fit the network: 1 missing (layer1.0.bn1.bias); "
        "1 unexpected (layer9.0.conv1.weight); "
        "1 of another shape (conv1.weight (4, 3, 3, 3) instead of (4, 3, 7, 7))"
    )
    assert all(torch.equal(before[n], v) for n, v in network.state_dict().items())


def test_old_models_that_do_not_count_batches_load(
    tiny: Tiny, float_model: dict[str, Tensor]
) -> None:
    old = {n: v for n, v in float_model.items() if not n.endswith("num_batches_tracked")}
    assert load_float_weights(tiny("resnet18"), old) == []


@pytest.mark.parametrize(
    "prefix",
    ["module.", "_orig_mod.", "module._orig_mod.", "backbone.", "encoder.", "model.", "a.1.b."],
)
def test_a_prefix_of_all_names_is_stripped_whatever_it_is(
    tiny: Tiny, float_model: dict[str, Tensor], prefix: str
) -> None:
    network = tiny("resnet18")
    prefixed = {f"{prefix}{name}": value for name, value in float_model.items()}
    assert load_float_weights(network, prefixed) == []
    assert torch.equal(network.fc.bias, float_model["fc.bias"])


def test_what_a_compiler_puts_into_the_middle_of_names_is_taken_out(
    tiny: Tiny, float_model: dict[str, Tensor]
) -> None:
    compiled = {n.replace("layer1.", "layer1._orig_mod."): v for n, v in float_model.items()}
    assert load_float_weights(tiny("resnet18"), compiled) == []


def test_a_real_wrapper_of_torch_is_taken_off(tiny: Tiny, float_model: dict[str, Tensor]) -> None:
    averaged = {"n_averaged": torch.tensor(3)}
    averaged |= {f"module.{name}": value for name, value in float_model.items()}
    assert load_float_weights(tiny("resnet18"), averaged) == ["n_averaged"]


def test_a_backbone_without_its_head_is_a_start_without_the_linear_layer(
    tiny: Tiny, float_model: dict[str, Tensor]
) -> None:
    network = tiny("resnet18")
    before = network.fc.weight.clone()
    headless = {n: v for n, v in float_model.items() if not n.startswith("fc.")}
    assert sorted(load_float_weights(network, headless)) == ["fc.bias", "fc.weight"]
    assert torch.equal(network.fc.weight, before)
    assert torch.equal(network.conv1.weight, float_model["conv1.weight"])


def test_what_stands_beside_the_backbone_is_left_out_and_named(
    tiny: Tiny, float_model: dict[str, Tensor]
) -> None:
    detector = {f"backbone.{n}": v for n, v in float_model.items() if not n.startswith("fc.")}
    detector["head.weight"] = torch.zeros(5, 8)
    left_out = load_float_weights(tiny("resnet18"), detector)
    assert sorted(left_out) == ["fc.bias", "fc.weight", "head.weight"]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_are_named_and_counted(
    tiny: Tiny, float_model: dict[str, Tensor], bad: float
) -> None:
    float_model["layer1.0.conv1.weight"][0, 0, 0] = bad
    float_model["bn1.running_var"][2] = bad
    network = tiny("resnet18")
    before = network.conv1.weight.clone()
    with pytest.raises(ValueError, match="not finite") as caught:
        load_float_weights(network, float_model)
    assert "layer1.0.conv1.weight (3 of 144)" in str(caught.value)
    assert "bn1.running_var (1 of 4)" in str(caught.value)
    assert "in 2 of its" in str(caught.value)
    assert torch.equal(network.conv1.weight, before)


def test_another_network_is_reported_in_one_line_with_counts(
    tiny: Tiny, float_model: dict[str, Tensor]
) -> None:
    renamed = {n.replace("layer", "stage"): v for n, v in float_model.items()}
    with pytest.raises(ValueError, match="does not fit") as caught:
        load_float_weights(tiny("resnet18"), renamed)
    layers = sum(n.startswith("layer") for n in float_model)
    counters = sum(n.startswith("layer") and n.endswith("tracked") for n in float_model)
    assert f"{layers - counters} missing (layer1.0.conv1.weight" in str(caught.value)
    assert f"{layers} unexpected (stage1.0." in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
