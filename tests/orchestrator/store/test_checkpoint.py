"""The files of a checkpoint; how damage is noticed, `test_run_checkpoints` tells."""

from pathlib import Path

import pytest

from orchestrator.errors import CheckpointMismatch
from orchestrator.store import checkpoint
from orchestrator.store.checkpoint import damage, with_manifest
from orchestrator.store.disk import DiskFolder


def test_a_checkpoint_is_whole_as_it_was_written(tmp_path: Path) -> None:
    DiskFolder(tmp_path).put("c", with_manifest({"a.bin": b"123", "b.bin": b""}))
    assert damage(DiskFolder(tmp_path / "c")) is None
    assert (tmp_path / "c" / "a.bin").read_bytes() == b"123"


def test_a_checkpoint_of_another_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as other_version:
        other_version.setattr(checkpoint, "FORMAT", 99)
        DiskFolder(tmp_path).put("c", with_manifest({"a.bin": b"123"}))
    with pytest.raises(CheckpointMismatch, match="format 99"):
        damage(DiskFolder(tmp_path / "c"))
