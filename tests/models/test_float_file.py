"""Files of float models, and files that are none: one line that says what the file is."""

import pickle
import warnings
import zipfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save, save_file
from torch import Tensor, nn

from models.float_file import conversion, read_state_dict


@pytest.fixture
def weights() -> dict[str, Tensor]:
    return {"conv1.weight": torch.randn(2, 3), "fc.bias": torch.randn(2)}


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def saved(content: Any, folder: Path, **options: Any) -> Path:
    path = folder / "model.pth"
    torch.save(content, path, **options)
    return path


def complaint(path: Path) -> str:
    with pytest.raises(ValueError, match=path.name) as caught:
        read_state_dict(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


@pytest.mark.parametrize(
    "key",
    ["state_dict", "model", "model_state_dict", "net", "ema", "anything"],
)
def test_weights_are_found_under_the_key_of_a_wrapper(
    weights: dict[str, Tensor], tmp_path: Path, key: str
) -> None:
    state = {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}
    same(read_state_dict(saved({"epoch": 3, "optimizer": state, key: weights}, tmp_path)), weights)


def test_of_plain_and_averaged_weights_the_plain_ones_are_taken(
    weights: dict[str, Tensor], tmp_path: Path
) -> None:
    averaged = {name: value + 1 for name, value in weights.items()}
    same(read_state_dict(saved({"model_ema": averaged, "model": weights}, tmp_path)), weights)
    same(read_state_dict(saved({"model_ema": averaged, "epoch": 1}, tmp_path)), averaged)


@pytest.mark.parametrize("zipped", [True, False])
def test_torchvisions_training_checkpoints_are_read_with_their_command_line(
    weights: dict[str, Tensor], tmp_path: Path, zipped: bool
) -> None:
    content = {"model": weights, "optimizer": {}, "args": Namespace(lr=0.1, model="resnet18")}
    path = saved(content, tmp_path, _use_new_zipfile_serialization=zipped)
    same(read_state_dict(path), weights)
    assert Namespace not in torch.serialization.get_safe_globals()


@pytest.mark.parametrize("name", ["model.safetensors", "model.pth"])
def test_what_a_file_is_called_does_not_matter(
    weights: dict[str, Tensor], tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    save_file(weights, path)
    same(read_state_dict(path), weights)
    torch.save(weights, path)
    same(read_state_dict(path), weights)


class Foreign:
    """A class of some training code."""


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": {"a": torch.ones(1)}, "config": Foreign()},
        {"model": {"a": torch.ones(1)}, "config": Foreign()},
    ],
)
def test_a_checkpoint_with_objects_is_refused_with_the_line_that_converts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any
) -> None:
    path = saved(content, tmp_path)
    said = complaint(path)
    assert "Foreign" in said
    assert "weights_only=True" not in said
    assert said.endswith(conversion(path))
    monkeypatch.chdir(tmp_path)
    exec(conversion(path))
    same(read_state_dict(tmp_path / "weights.pth"), {"a": torch.ones(1)})


def test_a_whole_pickled_module_is_refused_with_the_line_that_converts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = nn.Linear(2, 2)
    path = saved(module, tmp_path)
    assert complaint(path).endswith(conversion(path))
    monkeypatch.chdir(tmp_path)
    exec(conversion(path))
    same(read_state_dict(tmp_path / "weights.pth"), module.state_dict())


HTML = b"\n<!DOCTYPE html>\n<html><head><title>404</title></head></html>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 46830571\n"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is empty (0 bytes)"),
        (HTML, "is an HTML page"),
        (b"<html lang=en>", "is an HTML page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "is an XML document"),
        (POINTER, "is a git-LFS pointer"),
        (b"no model", "is a text file that begins 'no model'"),
        (b'{"message": "Not Found"}', "is a text file that begins"),
        (b"\x1f\x8b\x08\x00rest", "is a gzip archive; unpack it"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        (b"PK\x03\x04" + bytes(60), "is cut short or damaged (64 bytes"),
        (pickle.dumps({"a": [1.0]}, protocol=4), "a pickle that is not a checkpoint"),
        (bytes(range(128, 256)), "is damaged, or a pickle that is not a checkpoint"),
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_that_is_not_a_checkpoint_is_named_for_what_it_is(
    tmp_path: Path, content: bytes, what: str, suffix: str
) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    assert what in complaint(path)


def test_an_archive_of_something_else_and_a_program_are_called_so(tmp_path: Path) -> None:
    archive = tmp_path / "other.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("readme.txt", "")
        file.writestr("net/constants.pkl", "")
    assert "is a TorchScript program" in complaint(archive)
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("readme.txt", "")
    assert "is a zip archive of something else (readme.txt)" in complaint(archive)


@pytest.mark.parametrize("half", [0.5, 0.95])
def test_half_a_file_is_no_state_dict(
    weights: dict[str, Tensor], tmp_path: Path, half: float
) -> None:
    path = saved(weights, tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(half * len(whole))])
    assert "cut short or damaged" in complaint(path)
    whole = save(weights)
    path.write_bytes(whole[: int(half * len(whole))])
    assert "holds no state dict" in complaint(path)


def test_a_folder_is_called_a_folder(tmp_path: Path) -> None:
    assert "is a folder" in complaint(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent\.pt"):
        read_state_dict(tmp_path / "absent.pt")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ([1, 2], "it is a list"),
        (torch.zeros(2), "it is a Tensor"),
        ({"epoch": 3}, "no tensors in it, its keys are epoch"),
    ],
)
def test_a_checkpoint_without_tensors_by_name_is_refused(
    tmp_path: Path, content: Any, what: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert what in complaint(saved(content, tmp_path))
