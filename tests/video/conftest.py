"""Real clips that the repository holds: the quickstart videos, 16 frames of 56 x 56."""

from pathlib import Path

import pytest

QUICKSTART = Path(__file__).parents[2] / "jobs" / "quickstart"


@pytest.fixture
def videos() -> list[Path]:
    return sorted((QUICKSTART / "videos").glob("*.mp4"))[:4]
