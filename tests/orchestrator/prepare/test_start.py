"""The weights that a job starts from: a float run's, or those of a run at some bit-widths."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from models.layers.conv import QuantizedConv2d
from models.quantizers.pact import Pact
from orchestrator.errors import CheckpointMismatch
from orchestrator.job.schema import Job
from orchestrator.prepare.build import build_network
from orchestrator.prepare.start import is_there, start, weights_file
from orchestrator.store.place import folder_at
from orchestrator.store.run_folder import RunFolder
from orchestrator.train.worker import Run, Worker


@pytest.fixture
def trained(
    tiny_job: Callable[..., Job], tmp_path: Path, folder_context: Any
) -> Callable[..., Path]:
    """Train the tiny job, changed; return its folder, arranged as on a cluster."""

    def train(*overrides: str, name: str = "trained") -> Path:
        job = tiny_job(*overrides)
        folder = tmp_path / name
        folder.mkdir()
        context = folder_context(folder)
        Worker(job, Run(RunFolder(folder)), context).run()
        for number, kept in enumerate(sorted(folder.glob("checkpoint-*")), start=1):
            kept.rename(folder / f"checkpoint_p01_e{number:04d}_s000000")
        (folder / "job.yaml").write_text(yaml.safe_dump(job.as_dict()))
        return folder

    return train


@pytest.fixture
def float_run(trained: Callable[..., Path]) -> Callable[..., Path]:
    """Train the float network of the tiny job."""
    return partial(trained, "method={name: float}")


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
    trained = build_network(tiny_job("method={name: float}"), num_classes=3)
    job = tiny_job("start.from=float", f"start.weights={folder}")
    trained.load_state_dict(load_file(str(weights_file(str(folder), job))))
    network = build_network(job, num_classes=3)
    assert start(network, job) is None
    # With both quantizers taken out, what is left must be the float network.
    for module in network.modules():
        if isinstance(module, QuantizedConv2d):
            plain = partial(module._conv_forward, weight=module.weight, bias=None)
            monkeypatch.setattr(module, "forward", lambda x, at, plain=plain: plain(x))
        if isinstance(module, Pact):
            monkeypatch.setattr(module, "forward", lambda x, at: x.relu())
    inputs = torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        expected = trained.eval()(inputs, "float")
        for bits in (8, 6, 4, 2):
            torch.testing.assert_close(network.eval()(inputs, bits), expected)
    assert {level.item() for level in network.clip_levels()["4bit"]} == {2.0}


def test_a_run_is_its_last_checkpoint_or_its_best_as_its_results_are(
    float_run: Callable[..., Path], tiny_job: Callable[..., Job]
) -> None:
    folder = float_run("training.epochs=2", "checkpoint.select=best")
    of_float = tiny_job("start.from=float")
    assert weights_file(str(folder), of_float).folder.name.startswith("best-epoch-")
    job = yaml.safe_load((folder / "job.yaml").read_text())
    job["checkpoint"]["select"] = "last"
    (folder / "job.yaml").write_text(yaml.safe_dump(job))
    last = max(folder.glob("checkpoint_*"))
    assert str(weights_file(str(folder), of_float)) == str(last / "model.safetensors")
    assert str(weights_file(str(last), of_float)) == str(last / "model.safetensors")


@pytest.mark.parametrize(
    ("source", "method", "message"),
    [
        ("float", None, "not the folder of a run or a checkpoint"),
        ("float", "coquant", "by the method 'coquant', not 'float'"),
        ("float", "float", "has not finished"),
        ("checkpoint", None, "not the folder of a run or a checkpoint"),
        ("checkpoint", "float", "by the method 'float'; start.from: float starts from it"),
        ("checkpoint", "coquant", "has not finished"),
    ],
)
def test_an_unfinished_run_one_of_the_other_kind_and_another_folder_are_refused(
    tiny_job: Callable[..., Job], tmp_path: Path, source: str, method: str | None, message: str
) -> None:
    if method:
        (tmp_path / "job.yaml").write_text(yaml.safe_dump({"method": {"name": method}}))
    job = tiny_job(f"start.from={source}", f"start.weights={tmp_path}")
    network = build_network(job, num_classes=3)
    with pytest.raises(CheckpointMismatch, match=message):
        start(network, job)


def test_a_file_of_a_quantized_network_is_no_float_model(
    tiny_job: Callable[..., Job], tmp_path: Path
) -> None:
    network = build_network(tiny_job(), num_classes=3)
    torch.save(network.state_dict(), tmp_path / "coquant.pth")
    job = tiny_job("start.from=float", f"start.weights={tmp_path / 'coquant.pth'}")
    with pytest.raises(CheckpointMismatch, match="of a quantized network, not of a float model"):
        start(network, job)


def test_a_run_starts_from_another_ones_weights_and_fresh_where_it_was_not_trained(
    trained: Callable[..., Path], tiny_job: Callable[..., Job]
) -> None:
    folder = trained("quantizer.bit_widths=[8, 4]", "training.epochs=1")
    given = load_file(max(folder.glob("checkpoint_*")) / "model.safetensors")
    job = tiny_job(
        "quantizer.bit_widths=[8, 2]", "start.from=checkpoint", f"start.weights={folder}"
    )
    network = build_network(job, num_classes=3)
    drawn = {name: value.clone() for name, value in network.state_dict().items()}
    warning = start(network, job)
    found = network.state_dict()
    shared = found.keys() & given.keys()
    assert all(torch.equal(found[name], given[name]) for name in shared)
    assert all(torch.equal(found[name], drawn[name]) for name in found.keys() - shared)
    assert warning is not None
    assert (
        "was not trained at 2bit: batch norm, clip levels and steps of these start fresh" in warning
    )
    again = tiny_job(
        "quantizer.bit_widths=[8, 4]", "start.from=checkpoint", f"start.weights={folder}"
    )
    assert start(build_network(again, num_classes=3), again) is None


def test_another_network_and_a_damaged_checkpoint_are_one_clear_error(
    trained: Callable[..., Path], tiny_job: Callable[..., Job]
) -> None:
    folder = trained("training.epochs=1")
    from_it = ("start.from=checkpoint", f"start.weights={folder}")
    wide = tiny_job("model.widths=[4, 6]", *from_it)
    with pytest.raises(CheckpointMismatch) as caught:
        start(build_network(wide, num_classes=3), wide)
    assert "the weights of another network" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    file = max(folder.glob("checkpoint_*")) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    job = tiny_job(*from_it)
    with pytest.raises(CheckpointMismatch, match=r"is damaged: model\.safetensors has"):
        start(build_network(job, num_classes=3), job)


@pytest.mark.parametrize("content", ["", "foo: 1", "{", "[1]", "method: 5", "method: {}"])
@pytest.mark.parametrize("source", ["float", "checkpoint"])
def test_a_run_with_damaged_settings_is_one_clear_error(
    tiny_job: Callable[..., Job], tmp_path: Path, source: str, content: str
) -> None:
    (tmp_path / "job.yaml").write_text(content)
    job = tiny_job(f"start.from={source}", f"start.weights={tmp_path}")
    with pytest.raises(CheckpointMismatch, match=r"is damaged: .* with method\.name") as caught:
        start(build_network(job, num_classes=3), job)
    assert len(str(caught.value).splitlines()) == 1


def test_a_float_file_that_was_replaced_is_read_again(
    tiny_job: Callable[..., Job], tmp_path: Path
) -> None:
    file = tmp_path / "float.pt"
    job = tiny_job("start.from=float", f"start.weights={file}")
    single = build_network(tiny_job("method={name: float}"), num_classes=3)
    seen: list[float] = []
    for value in (0.25, 0.25, 0.5):
        state = {
            name: torch.full_like(tensor, value) for name, tensor in single.state_dict().items()
        }
        torch.save(state, file)
        network = build_network(job, num_classes=3)
        start(network, job)
        seen.append(network.get_parameter("conv1.weight").flatten()[0].item())
    assert seen == [0.25, 0.25, 0.5]


def test_a_step_of_other_codes_starts_from_the_weights_that_are_given(
    trained: Callable[..., Path], tiny_job: Callable[..., Job]
) -> None:
    weights = "quantizer.weights.name=double_rounding"
    folder = trained("quantizer.bit_widths=[8, 4, 2]", weights, "training.epochs=1")
    given = load_file(max(folder.glob("checkpoint_*")) / "model.safetensors")
    from_it = ("start.from=checkpoint", f"start.weights={folder}")
    job = tiny_job("quantizer.bit_widths=[4, 2]", weights, *from_it)
    network = build_network(job, num_classes=3)
    start(network, job)
    layer = "layer1.0.conv1"
    step = network.state_dict()[f"{layer}.quantizer.steps.4bit"].item()
    assert 4 * step == pytest.approx(2 * given[f"{layer}.weight"].abs().mean().item())


@pytest.mark.parametrize(
    ("weights", "trained_at", "read_at", "b1"),
    [
        ("coquant_trunc", "[4, 2]", "[4, 2]", 4),
        ("double_rounding", "[4, 2]", "[4, 2]", 4),
        ("{name: lsq_floor, lower: nested}", "[4, 3, 2]", "[3, 2]", 8),
    ],
)
def test_weights_are_evaluated_as_the_codes_that_were_trained(
    weights: str,
    trained_at: str,
    read_at: str,
    b1: int,
    trained: Callable[..., Path],
    tiny_job: Callable[..., Job],
    tmp_path: Path,
    folder_context: Any,
) -> None:
    kind = f"quantizer.weights={weights if '{' in weights else f'{{name: {weights}}}'}"
    source = trained(kind, f"quantizer.bit_widths={trained_at}", "method={name: joint}")
    common = (kind, "training.epochs=0", f"start={{from: checkpoint, weights: {source}}}")
    other = tiny_job(*common, "method={name: direct}", f"quantizer.bit_widths={read_at}")
    with pytest.raises(CheckpointMismatch, match="they are other weights"):
        start(build_network(other, 4), other)
    method = f"method={{name: direct, b1: {b1}}}"
    same = tiny_job(*common, method, f"quantizer.bit_widths={trained_at}")
    again = tmp_path / "again"
    again.mkdir()
    Worker(same, Run(RunFolder(again)), folder_context(again)).run()
    found, expected = (
        {row["point"]: (row["metric"], row["loss"]) for row in json.loads(file.read_text())["rows"]}
        for file in (again / "result.json", source / "result.json")
    )
    assert found == expected


def test_weights_may_be_in_a_bucket(
    float_run: Callable[..., Path], tiny_job: Callable[..., Job], s3: str
) -> None:
    folder = float_run("training.epochs=1")
    for file in (file for file in folder.rglob("*") if file.is_file()):
        folder_at(s3).write(str(file.relative_to(folder)), file.read_bytes())
    (weights,) = {file.relative_to(folder) for file in folder.glob("*_e0002_*/*.safetensors")}
    found = []
    for given in (folder, s3, f"{s3}/{weights.parent}", f"{s3}/{weights}"):
        job = tiny_job("start.from=float", f"start.weights={given}")
        network = build_network(job, num_classes=3)
        assert is_there(str(job.start.weights))
        assert start(network, job) is None
        found.append(network.state_dict())
    assert all(torch.equal(one[name], found[0][name]) for one in found for name in one)
    assert not is_there(f"{s3}/nothing.pt")
    folder_at(s3).write("text.pt", b"no weights")
    with pytest.raises(CheckpointMismatch, match=rf"^start.weights: {s3}/text.pt"):
        start(network, tiny_job("start.from=float", f"start.weights={s3}/text.pt"))
