"""Components of the user's own, by their places in a folder beside the job."""

import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from orchestrator.errors import JobFileError
from orchestrator.job import schema
from orchestrator.job.load import load_job, load_values
from orchestrator.job.schema import Job, job_from_dict

METHOD = """
from typing import ClassVar, Literal

from models.methods.joint import Joint

class Settings(Joint.Settings, frozen=True):
    name: Literal["own_methods.slow:Slow"] = "own_methods.slow:Slow"
    patience: int = 3

class Slow(Joint):
    Settings: ClassVar[type[Settings]] = Settings

class Odd:
    Settings = Settings
"""

JOB = """
name: tiny
code: parts
model: {name: resnet18_cifar, widths: [4, 8], depths: [1, 1]}
data: {name: cifar10, root: nowhere}
method: {name: "own_methods.slow:Slow", patience: 5}
optimizer: {lr: 0.05}
training: {epochs: 2, global_batch: 24}
"""


@pytest.fixture(autouse=True)
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job with a method of its own in a folder beside it."""
    package = tmp_path / "parts" / "own_methods"
    package.mkdir(parents=True)
    (package / "slow.py").write_text(METHOD)
    (package / "broken.py").write_text("raise RuntimeError('half\\ndone')")
    (tmp_path / "tiny.yaml").write_text(JOB)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("own_methods", "own_methods.slow"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    schema._job_class.cache_clear()


def load(tmp_path: Path, *overrides: str) -> Job:
    return load_job(tmp_path / "tiny.yaml", overrides).job


def test_a_method_beside_the_job_has_settings_of_its_own(tmp_path: Path) -> None:
    job = load(tmp_path)
    assert (job.method.name, job.method.patience) == ("own_methods.slow:Slow", 5)
    assert job.code == tmp_path / "parts"
    with pytest.raises(JobFileError, match=r"--set  method\.patience: expected a whole number"):
        load(tmp_path, "method.patience=many")


def test_the_values_of_such_a_job_make_it_again_in_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = load(tmp_path).as_dict()
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(tmp_path / "parts")])
    monkeypatch.delitem(sys.modules, "own_methods.slow")
    assert job_from_dict(values).as_dict() == values
    assert load_values(values, "tiny-1").job.as_dict() == values


def test_the_copy_that_came_with_a_job_is_not_the_folder_that_may_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = load(tmp_path).as_dict()
    copy = tmp_path / "copy" / "own_methods"
    copy.mkdir(parents=True)
    (copy / "slow.py").write_text(METHOD.replace("patience: int", "patience: str"))
    monkeypatch.setattr(sys, "path", [str(copy.parent), *sys.path])
    for name in ("own_methods", "own_methods.slow"):
        monkeypatch.delitem(sys.modules, name)
    schema._job_class.cache_clear()
    with pytest.raises(ValidationError, match="patience"):
        job_from_dict(values)


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("method.name=own_methods.fast:Fast", "cannot be imported (ModuleNotFoundError: No module"),
        ("method.name=own_methods.slow:Fast", "cannot be imported (AttributeError: module "),
        ("method.name=own_methods.broken:X", "cannot be imported (RuntimeError: half). Its module"),
        ("method.name=own_methods.slow:Odd", "expected a class that inherits models.methods.base"),
        ("model.name=own_methods.slow:Slow", "is no model: expected a class that inherits"),
        ("data.name=own_methods.slow:Slow", "one of your own is not possible here"),
    ],
)
def test_what_is_no_component_is_a_mistake_of_the_job(
    tmp_path: Path, override: str, problem: str
) -> None:
    with pytest.raises(JobFileError) as refused:
        load(tmp_path, override)
    assert f"--set  {override.partition('=')[0]}: " in str(refused.value)
    assert problem in str(refused.value)
