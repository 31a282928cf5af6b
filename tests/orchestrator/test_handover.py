"""Secrets left for a job and taken up by its processes."""

import os
import stat
from pathlib import Path

import pytest

from orchestrator import handover
from orchestrator.errors import UsageError


def test_secrets_are_read_and_removed_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD", raising=False)
    file = handover.leave(tmp_path / "secrets", "a-1", {"MLFLOW_TRACKING_PASSWORD": "s"})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    monkeypatch.setenv(handover.VARIABLE, str(file))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    handover.take_up()
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "s"
    handover.remove()
    assert not file.exists()


def test_without_secrets_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(handover.VARIABLE, raising=False)
    before = dict(os.environ)
    handover.take_up()
    handover.remove()
    assert dict(os.environ) == before


def test_missing_secrets_are_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(handover.VARIABLE, str(tmp_path / "gone.json"))
    with pytest.raises(UsageError, match=r"gone\.json cannot be read .* Submit it again"):
        handover.take_up()
