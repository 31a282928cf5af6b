"""Checkpoints as real files, spoilt as disks and kills spoil them."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save
from torch import nn

from orchestrator.errors import CheckpointMismatch
from orchestrator.events import Event
from orchestrator.run_facts import Events, RunFacts
from orchestrator.store import disk
from orchestrator.store.checkpoint import FORMAT, damage
from orchestrator.store.disk import DiskFolder
from orchestrator.store.run_folder import Reached, RunFolder
from orchestrator.strict_json import dumps
from orchestrator.train import run_checkpoints
from orchestrator.train.state import load_weights
from orchestrator.typed_json import plain
from tests.orchestrator.statements import EVALUATED, PROGRESS


def write(run_dir: Path, epoch: int, step: int) -> Path:
    """Commit a checkpoint whose weights are its epoch; return where it lies."""
    network = nn.Linear(300, 4)
    nn.init.constant_(network.weight, float(epoch))
    contents = {"model.safetensors": save(network.state_dict()), "state.pt": STATE}
    RunFolder(run_dir).commit(contents, Reached(0, epoch, step))
    return Path(RunFolder(run_dir).checkpoints()[-1])


def latest(run_dir: Path) -> Path:
    return Path(run_checkpoints.latest(RunFolder(run_dir)))


STATE = bytes(range(256)) * 4
"""In the place of the state; what is in it matters to `TrainState` alone."""


def facts(event: Event) -> str:
    return dumps(plain(RunFacts().after(event)))


def halve(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def flip(file: Path) -> None:
    """Invert 64 bytes near the end, where weights lie; the file is as readable as before."""
    content = bytearray(file.read_bytes())
    for place in range(len(content) - 200, len(content) - 136):
        content[place] ^= 0xFF
    file.write_bytes(content)


def change(file: Path, old: bytes, new: bytes) -> None:
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new, 1))


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "half of the state": (lambda f: halve(f / "state.pt"), r"state\.pt has \d+ bytes instead of"),
    "half of the weights": (lambda f: halve(f / "model.safetensors"), r"model\.safetensors has "),
    "flipped bytes": (lambda f: flip(f / "model.safetensors"), r"model\.safetensors has changed"),
    "a flipped state": (lambda f: flip(f / "state.pt"), r"state\.pt has changed"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), r"model\.safetensors: No such"),
    "no manifest": (lambda f: (f / "manifest.json").unlink(), r"manifest\.json is missing"),
    "half a manifest": (lambda f: halve(f / "manifest.json"), r"manifest\.json is missing or"),
    "another number in a manifest": (
        lambda f: change(f / "manifest.json", f'"format": {FORMAT}'.encode(), b'"format": 1'),
        r"manifest\.json is missing or has changed",
    ),
    "another word in a manifest": (
        lambda f: change(f / "manifest.json", b'"size"', b'"sise"'),
        r"manifest\.json is missing or has changed",
    ),
    "a manifest of nothing": (
        lambda f: (f / "manifest.json").write_text('{"format": 3, "files": {}}'),
        r"manifest\.json is missing or has changed",
    ),
    "an empty folder": (lambda f: [p.unlink() for p in f.iterdir()], r"manifest\.json is missing"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_damaged_checkpoint_is_named_and_kept_and_the_one_before_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    before, newest = write(tmp_path, 1, 0), write(tmp_path, 1, 5)
    spoil, message = SPOILT[kind]
    spoil(newest)
    assert latest(tmp_path) == before
    said = capsys.readouterr().out
    assert newest.name in said
    assert f"Continuing from {before.name}" in said
    assert (tmp_path / f"damaged_{newest.name}").is_dir()
    assert not newest.exists()
    (tmp_path / f"damaged_{newest.name}").rename(newest)
    shutil.rmtree(before)
    with pytest.raises(CheckpointMismatch, match=message):
        run_checkpoints.latest(RunFolder(tmp_path))


@pytest.mark.parametrize("kind", ["half of the weights", "no weights"])
def test_a_library_s_own_error_about_damaged_weights_never_reaches_the_user(
    tmp_path: Path, kind: str
) -> None:
    folder = write(tmp_path, 1, 0)
    SPOILT[kind][0](folder)
    with pytest.raises(CheckpointMismatch, match=str(folder)):
        load_weights(folder, nn.Linear(300, 4))


def test_the_newest_by_epoch_and_step_is_the_latest_whatever_was_written_last(
    tmp_path: Path,
) -> None:
    for epoch, step in ((2, 0), (10, 0), (9, 999_999), (9, 1_000_000), (2, 7)):
        write(tmp_path, epoch, step)
    assert latest(tmp_path) == tmp_path / "checkpoint_p01_e0010_s000000"
    shutil.rmtree(tmp_path / "checkpoint_p01_e0010_s000000")
    assert latest(tmp_path) == tmp_path / "checkpoint_p01_e0009_s1000000"


def test_the_best_epoch_is_the_last_resort(tmp_path: Path) -> None:
    newest = write(tmp_path, 3, 0)
    names = ("model.safetensors", "state.pt")
    RunFolder(tmp_path).keep_as_best({name: (newest / name).read_bytes() for name in names}, 3)
    flip(newest / "state.pt")
    best = latest(tmp_path)
    assert best == tmp_path / "best-epoch-0003"
    assert load_file(best / "model.safetensors")["weight"][0, 0] == 3


def test_a_run_without_a_checkpoint_begins_at_the_start(tmp_path: Path) -> None:
    assert run_checkpoints.latest(RunFolder(tmp_path)) is None
    Events(RunFolder(tmp_path)).say(PROGRESS)
    assert run_checkpoints.latest(RunFolder(tmp_path)) is None


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("progress.json", facts(replace(PROGRESS, epoch=4)), "the run had come to epoch 5"),
        ("progress.json", facts(EVALUATED), "the run had come to epoch 1"),
        ("metrics.jsonl", '{"step": 0}\n', "an epoch was recorded"),
        ("checkpoint_2026-11-25_04-00-00.000000/state.pt", "", "unusable: checkpoint_2026"),
        (
            "damaged_checkpoint_p01_e0001_s000000/state.pt",
            "",
            "unusable: damaged_checkpoint_p01",
        ),
    ],
)
def test_a_run_that_had_made_progress_does_not_silently_start_over(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(content)
    with pytest.raises(CheckpointMismatch, match=message) as caught:
        run_checkpoints.latest(RunFolder(tmp_path))
    assert "submit` the job as a new run" in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_failed_write_leaves_only_the_checkpoint_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = write(tmp_path, 1, 0)
    real = disk.write_whole

    def full(path: Path, content: str | bytes) -> None:
        if path.name == "state.pt":
            raise OSError(28, "No space left on device", str(path))
        real(path, content)

    monkeypatch.setattr(disk, "write_whole", full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path, 2, 0)
    assert [folder.name for folder in tmp_path.iterdir()] == [before.name]
    assert damage(DiskFolder(before)) is None
