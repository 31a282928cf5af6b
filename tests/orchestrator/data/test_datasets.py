"""What every data set of the table offers, with files or without, and how one is opened."""

import json
import subprocess
import sys
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any, Literal, get_type_hints

import numpy as np
import pytest
import torch
from pydantic import BaseModel
from torch import Tensor

from orchestrator.data import DATASETS, Dataset, dataset_class, missing_data, open_dataset
from orchestrator.data.images import refuse_segments
from orchestrator.errors import DataError, MissingData, UsageError
from orchestrator.job.load import load_job
from orchestrator.job.schema import Job
from orchestrator.prepare import preflight
from orchestrator.store.run_folder import RunFolder
from orchestrator.train.worker import Run, Worker

QUICKSTART = Path(__file__).parents[3] / "jobs" / "quickstart"


class StripesSettings(BaseModel, frozen=True, extra="forbid"):
    """The data section of a job that trains on stripes."""

    name: Literal["stripes"] = "stripes"
    count: int = 16
    max_broken_share: float = 0.05


class Stripes:
    """Pictures that no file holds: stripes across or down. Training: in a random gray."""

    Settings = StripesSettings
    kind = "image"
    metric = "top1"
    mean = (0.5, 0.5, 0.5)
    std = (0.25, 0.25, 0.25)
    sample_shape = (3, 16, 16)
    num_missing = 0
    num_classes = 2
    class_names = ("across", "down")

    def __init__(self, settings: StripesSettings, *, train: bool, num_segments: int | None) -> None:
        refuse_segments(num_segments)
        self._count = settings.count

    @staticmethod
    def missing(settings: StripesSettings) -> list[str]:
        if settings.count == 13:
            raise PermissionError(13, "Permission denied")
        return []

    def __len__(self) -> int:
        return self._count

    def label(self, index: int) -> int:
        return index % 2

    def targets(self, index: int) -> list[int]:
        return [index % 2]

    def source(self, index: int) -> str:
        return f"stripes {index}"

    def load(self, index: int, generator: np.random.Generator | None) -> Tensor:
        gray = 200 if generator is None else int(generator.integers(128, 256))
        image = torch.zeros(self.sample_shape, dtype=torch.uint8)
        image[:, :: 2 + index % 3] = gray
        return image.transpose(1, 2) if index % 2 else image


@pytest.fixture(autouse=True)
def _stripes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a data set without files to the table."""
    monkeypatch.setitem(DATASETS, "stripes", f"{__name__}:Stripes")


NAMES = [*DATASETS, "stripes"]


def settings_of(name: str, root: Path) -> Any:
    """The settings of a data set in a folder, if it has files."""
    kind = dataset_class(name).Settings
    return kind(root=root) if "root" in kind.model_fields else kind()


@pytest.mark.parametrize("name", NAMES)
def test_every_data_set_has_settings_that_carry_its_name(name: str) -> None:
    settings = settings_of(name, Path("/nowhere"))
    assert settings.name == name
    assert settings.max_broken_share == 0.05
    with pytest.raises(ValueError, match="frozen"):
        settings.name = "another"


@pytest.mark.parametrize("name", NAMES)
def test_every_data_set_offers_what_the_loader_and_the_trainer_ask_for(name: str) -> None:
    found = dataset_class(name)
    for member in ("missing", "label", "targets", "source", "load", "__len__", "__init__"):
        expected = list(signature(getattr(Dataset, member)).parameters)
        assert list(signature(getattr(found, member)).parameters) == expected
    for constant in ("kind", "mean", "std"):
        assert getattr(found, constant)
    assert found.kind in ("image", "video")
    assert "settings" in get_type_hints(found.__init__)


@pytest.mark.parametrize("name", NAMES)
def test_only_a_data_set_with_files_can_be_missing_and_names_place_and_source(
    name: str, tmp_path: Path
) -> None:
    settings = settings_of(name, tmp_path)
    messages = missing_data(settings)
    if "root" not in type(settings).model_fields:
        assert messages == []
        assert len(open_dataset(settings, train=True, num_segments=None)) > 0
        return
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


@pytest.fixture
def job_on_stripes(tmp_path: Path) -> Callable[..., Job]:
    def load(count: int) -> Job:
        file = tmp_path / "stripes.yaml"
        file.write_text(
            "name: stripes\n"
            "model: {name: resnet18_cifar, widths: [4, 8], depths: [1, 1]}\n"
            f"data: {{name: stripes, count: {count}}}\n"
            "method: {name: joint}\n"
            "optimizer: {lr: 0.05}\n"
            "training: {epochs: 1, global_batch: 8}\n"
        )
        return load_job(file, [f"output={tmp_path / 'runs'}"]).job

    return load


def test_a_data_set_without_files_is_checked_and_trained_on(
    job_on_stripes: Callable[..., Job], tmp_path: Path, folder_context: Any
) -> None:
    job = job_on_stripes(16)
    preflight.check(job)
    Worker(job, Run(RunFolder(tmp_path)), folder_context(tmp_path)).run()
    rows = json.loads((tmp_path / "result.json").read_text())["rows"]
    assert [row["point"] for row in rows] == ["8bit", "6bit", "4bit", "2bit"]


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (0, "The evaluation set of 'stripes' is empty."),
        (13, "data: stripes cannot be read (Permission denied)."),
    ],
)
def test_what_is_wrong_with_a_data_set_without_files_is_said_without_a_place(
    job_on_stripes: Callable[..., Job], count: int, message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        preflight.check(job_on_stripes(count))
    assert message in str(caught.value)


def test_the_table_is_read_without_torch() -> None:
    code = "import sys, orchestrator.data; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
