"""What every data set of the table offers, and how one is opened."""

import subprocess
import sys
from inspect import signature
from pathlib import Path
from typing import get_type_hints

import pytest

from orchestrator.data import DATASETS, Dataset, dataset_class, missing_data, open_dataset
from orchestrator.errors import DataError, MissingData

QUICKSTART = Path(__file__).parents[3] / "jobs" / "quickstart"


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_has_settings_that_carry_its_name(name: str) -> None:
    settings = dataset_class(name).Settings(root="/nowhere")
    assert settings.name == name
    assert settings.max_broken_share == 0.05
    with pytest.raises(ValueError, match="frozen"):
        settings.root = "elsewhere"


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_offers_what_the_loader_and_the_trainer_ask_for(name: str) -> None:
    found = dataset_class(name)
    for member in ("missing", "label", "targets", "source", "load", "__len__", "__init__"):
        expected = list(signature(getattr(Dataset, member)).parameters)
        assert list(signature(getattr(found, member)).parameters) == expected
    for constant in ("kind", "mean", "std"):
        assert getattr(found, constant)
    assert found.kind in ("image", "video")
    assert "settings" in get_type_hints(found.__init__)


@pytest.mark.parametrize("name", DATASETS)
def test_a_missing_data_set_is_reported_with_place_and_source(name: str, tmp_path: Path) -> None:
    settings = dataset_class(name).Settings(root=str(tmp_path))
    messages = missing_data(settings)
    assert messages
    for message in messages:
        assert str(tmp_path) in message
        assert "http" in message
        assert "\n" not in message
    with pytest.raises(MissingData) as caught:
        open_dataset(settings, train=True, num_segments=8)
    assert str(caught.value).splitlines() == messages


def test_a_data_set_that_is_there_is_opened() -> None:
    settings = dataset_class("activitynet").Settings(root=str(QUICKSTART), metric="top1")
    data = open_dataset(settings, train=False, num_segments=3)
    assert (data.kind, data.metric, data.num_classes) == ("video", "top1", 10)
    with pytest.raises(DataError, match=r"model\.num_segments"):
        open_dataset(settings, train=False, num_segments=None)


def test_the_table_is_read_without_torch() -> None:
    code = "import sys, orchestrator.data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
