"""The files of a checkpoint; how damage is noticed, `test_run_checkpoints` tells."""

from pathlib import Path

import pytest

from orchestrator.errors import CheckpointMismatch
from orchestrator.store import checkpoint
from orchestrator.store.checkpoint import damage, write_checkpoint


def test_a_checkpoint_is_whole_as_it_was_written(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "c", [("a.bin", b"123"), ("b.bin", b"")])
    assert damage(tmp_path / "c") is None
    assert (tmp_path / "c" / "a.bin").read_bytes() == b"123"


def test_a_checkpoint_of_another_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as other_version:
        other_version.setattr(checkpoint, "FORMAT", 99)
        write_checkpoint(tmp_path / "c", [("a.bin", b"123")])
    with pytest.raises(CheckpointMismatch, match="format 99"):
        damage(tmp_path / "c")
