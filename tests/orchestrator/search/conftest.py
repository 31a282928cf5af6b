"""Searches in simulated time do not wait for the disk."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.orchestrator.search.stage import Stage, rises


@pytest.fixture
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def stage(tmp_path: Path) -> Callable[..., Stage]:
    return lambda search, score=rises, groups=1: Stage(tmp_path / "s-1", search, score, groups)
