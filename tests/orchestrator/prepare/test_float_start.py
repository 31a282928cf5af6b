"""From a float run of one's own to a network at several bit-widths, as jobs name it."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from models.bitwidth import FLOAT
from models.layers.conv import QuantizedConv2d
from models.quantizers.pact import Pact
from orchestrator.errors import CheckpointMismatch
from orchestrator.job.schema import Job
from orchestrator.prepare.build import build_network_and_method, start_from_float
from orchestrator.prepare.float_start import weights_file
from orchestrator.store.run_folder import RunFolder
from orchestrator.train.worker import Run, Worker


@pytest.fixture
def float_run(
    tiny_job: Callable[..., Job], tmp_path: Path, folder_context: Any
) -> Callable[..., Path]:
    """Train the float network of the tiny job; return its folder, arranged as on a cluster."""

    def train(*overrides: str) -> Path:
        job = tiny_job("method={name: float}", *overrides)
        folder = tmp_path / "floating"
        folder.mkdir()
        context = folder_context(folder)
        Worker(job, Run(RunFolder(folder)), context).run()
        for number, kept in enumerate(sorted(folder.glob("checkpoint-*")), start=1):
            kept.rename(folder / f"checkpoint_p01_e{number:04d}_s000000")
        (folder / "job.yaml").write_text(yaml.safe_dump(job.as_dict()))
        return folder

    return train


def test_a_float_run_is_called_float_everywhere(
    float_run: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = float_run("training.epochs=1")
    result = json.loads((folder / "result.json").read_text())
    assert [row["point"] for row in result["rows"]] == ["float"]
    assert "| float | " in result["table"]
    assert "32" not in result["table"].splitlines()[2].split("|")[1]
    assert "32bit" not in capsys.readouterr().out


def test_a_float_run_starts_a_network_at_every_bit_width_and_computes_the_same_unquantized(
    float_run: Callable[..., Path], tiny_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = float_run("training.epochs=1")
    trained, _ = build_network_and_method(tiny_job("method={name: float}"), num_classes=3)
    trained.load_state_dict(load_file(weights_file(folder)))
    job = tiny_job("model.init=float", f"model.weights={folder}")
    network, _ = build_network_and_method(job, num_classes=3)
    assert start_from_float(network, job) == []
    # With both quantizers taken out, what is left must be the float network.
    for module in network.modules():
        if isinstance(module, QuantizedConv2d):
            plain = partial(module._conv_forward, weight=module.weight, bias=None)
            monkeypatch.setattr(module, "forward", lambda x, bits, step, plain=plain: plain(x))
        if isinstance(module, Pact):
            monkeypatch.setattr(module, "forward", lambda x, bits: x)
    inputs = torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        expected = trained.eval()(inputs, FLOAT)
        for bits in network.bit_widths:
            torch.testing.assert_close(network.eval()(inputs, bits), expected)
    assert {level.item() for level in network.clip_levels()[4]} == {2.0}


def test_a_run_is_its_last_checkpoint_or_its_best_as_its_results_are(
    float_run: Callable[..., Path],
) -> None:
    folder = float_run("training.epochs=2", "checkpoint.select=best")
    assert weights_file(folder).parent.name.startswith("best-epoch-")
    job = yaml.safe_load((folder / "job.yaml").read_text())
    job["checkpoint"]["select"] = "last"
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    last = max(folder.glob("checkpoint_*"))
    assert weights_file(folder) == last / "model.safetensors"
    assert weights_file(last) == last / "model.safetensors"


def test_an_unfinished_or_a_quantized_run_and_another_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointMismatch, match="no folder of a run or a checkpoint"):
        weights_file(tmp_path)
    kept = tmp_path / "job.yaml"
    kept.write_text(yaml.safe_dump({"method": {"name": "coquant"}}))
    with pytest.raises(CheckpointMismatch, match="by the method 'coquant', not 'float'"):
        weights_file(tmp_path)
    kept.write_text(yaml.safe_dump({"method": {"name": "float"}}))
    with pytest.raises(CheckpointMismatch, match="has not finished"):
        weights_file(tmp_path)


def test_a_checkpoint_of_a_quantized_run_is_told_apart(
    tiny_job: Callable[..., Job], tmp_path: Path
) -> None:
    network, _ = build_network_and_method(tiny_job(), num_classes=3)
    torch.save(network.state_dict(), tmp_path / "coquant.pth")
    job = tiny_job("model.init=float", f"model.weights={tmp_path / 'coquant.pth'}")
    with pytest.raises(CheckpointMismatch, match="of a quantized network, not of a float model"):
        start_from_float(network, job)
