"""Float models into networks: what is copied, what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from models.float_weights import load_float_weights, read_state_dict
from models.networks.base import AnyBitNetwork

Tiny = Callable[..., AnyBitNetwork]


@pytest.fixture
def float_model(tiny: Tiny) -> dict[str, Tensor]:
    """The state dict of a float ResNet: one set of batch norm, no clip levels."""
    single = tiny("resnet18", bit_widths=(8,)).state_dict()
    return {
        name.replace(".8.", "."): torch.randn(value.shape).to(value.dtype)
        for name, value in single.items()
        if "clip_levels" not in name
    }


def test_batch_norm_goes_into_every_bit_width_and_clip_levels_stay(
    tiny: Tiny, float_model: dict[str, Tensor]
) -> None:
    network = tiny("resnet18", clip_init=5.0)
    assert load_float_weights(network, float_model) == []
    state = network.state_dict()
    for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
        for bits in network.bit_widths:
            expected = float_model[f"layer2.0.downsample.1.{part}"]
            assert torch.equal(state[f"layer2.0.downsample.1.{bits}.{part}"], expected)
    assert torch.equal(state["layer1.0.conv2.weight"], float_model["layer1.0.conv2.weight"])
    assert {level.item() for level in network.clip_levels()[2]} == {5.0}


@pytest.mark.parametrize("stem_bn_shared", [True, False])
def test_the_stem_is_loaded_shared_or_switched(
    tiny: Tiny, float_model: dict[str, Tensor], stem_bn_shared: bool
) -> None:
    network = tiny("resnet18", quantizer={"stem_bn_shared": stem_bn_shared})
    load_float_weights(network, float_model)
    name = "bn1.running_mean" if stem_bn_shared else "bn1.4.running_mean"
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


def test_every_misfit_is_listed_and_nothing_is_copied(
    tiny: Tiny, float_model: dict[str, Tensor]
) -> None:
    del float_model["layer1.0.bn1.bias"]
    float_model["layer9.0.conv1.weight"] = torch.zeros(1)
    float_model["conv1.weight"] = torch.zeros(4, 3, 3, 3)
    network = tiny("resnet18")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ValueError, match="does not fit") as caught:
        load_float_weights(network, float_model)
    assert str(caught.value).splitlines()[1:] == [
        "layer1.0.bn1.bias: missing",
        "layer9.0.conv1.weight: unexpected",
        "conv1.weight: shape (4, 3, 3, 3), expected (4, 3, 7, 7)",
    ]
    assert all(torch.equal(before[n], v) for n, v in network.state_dict().items())


def test_old_models_that_do_not_count_batches_load(
    tiny: Tiny, float_model: dict[str, Tensor]
) -> None:
    old = {n: v for n, v in float_model.items() if not n.endswith("num_batches_tracked")}
    assert load_float_weights(tiny("resnet18"), old) == []


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
def test_files_load_unwrapped_and_without_a_wrappers_prefix(
    tiny: Tiny, float_model: dict[str, Tensor], tmp_path: Path, suffix: str
) -> None:
    prefixed = {f"module.{name}": value for name, value in float_model.items()}
    path = tmp_path / f"model{suffix}"
    if suffix == ".safetensors":
        save_file(prefixed, path)
    else:
        torch.save({"state_dict": prefixed, "epoch": 90}, path)
    network = tiny("resnet18")
    load_float_weights(network, read_state_dict(path))
    assert torch.equal(network.fc.bias, float_model["fc.bias"])


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_damaged_file_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"no model")
    with pytest.raises(ValueError, match=f"model{suffix} holds no state dict"):
        read_state_dict(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.pt"):
        read_state_dict(tmp_path / "absent.pt")


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, torch.zeros(2)])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "model.pt"
    torch.save(content, path)
    with pytest.raises(ValueError, match="holds no state dict"):
        read_state_dict(path)
