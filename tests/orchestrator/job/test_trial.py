from pathlib import Path

import pytest

from orchestrator.errors import JobFileError
from orchestrator.job.load import load_job
from orchestrator.job.source import Values
from orchestrator.job.trial import load_trial

JOB = """
name: mine
model: {name: resnet18_cifar}
data: {name: cifar10, root: data}
method: {name: coquant, lambda: 1e-3, p1: 0.9}
optimizer: {lr: 5e-2}
training: {epochs: 3, global_batch: 128}
search:
  space: {method.p1: {uniform: [0.3, 0.9]}, method.lambda: {grid: [0, 1]}}
  metric: mean
  trials: 4
"""


@pytest.fixture
def values(tmp_path: Path) -> Values:
    file = tmp_path / "mine.yaml"
    file.write_text(JOB)
    return load_job(file).job.as_dict()


def test_a_trial_is_the_job_with_its_settings_and_seed_and_without_a_search(
    values: Values,
) -> None:
    job = load_trial(values, {"method.p1": 0.5, "optimizer.clip.lr": 0.2}, "t001", 7).job
    expected = {**values, "search": None, "seed": 7}
    expected["method"] = {**values["method"], "p1": 0.5}
    expected["optimizer"] = {**values["optimizer"], "clip": {**values["optimizer"]["clip"]}}
    expected["optimizer"]["clip"]["lr"] = 0.2
    assert job.as_dict() == expected


def test_a_trial_of_another_method_has_none_of_the_settings_of_the_job_s_own(
    values: Values,
) -> None:
    settings = {"method.name": "any_precision"}
    method = load_trial(values, settings, "t001", 0).job.as_dict()["method"]
    assert method["name"] == "any_precision"
    assert "lambda" not in method


def test_a_layer_s_name_keeps_its_dots(values: Values) -> None:
    values["quantizer"]["assignment"] = {"mixed": {"default": 8}}
    key = "quantizer.assignment.mixed.layer1.0.conv1"
    layers = load_trial(values, {key: 2}, "t001", 0).job.as_dict()["quantizer"]["assignment"]
    assert layers["mixed"]["layer1.0.conv1"] == 2


def test_a_trial_is_checked_as_any_job(values: Values) -> None:
    settings = {"method.p1": 1.5, "optimizer.lr": -1}
    with pytest.raises(JobFileError) as caught:
        load_trial(values, settings, "t001", 0)
    assert [line.partition(":")[0] for line in caught.value.mistakes] == [
        "t001  method.p1",
        "t001  optimizer.lr",
    ]


def test_loading_a_trial_leaves_its_settings_and_the_search_s_values_alone(
    values: Values,
) -> None:
    settings = {"quantizer.bit_widths": [8, 4]}
    before = repr(values)
    load_trial(values, settings, "t001", 0)
    assert (repr(values), settings) == (before, {"quantizer.bit_widths": [8, 4]})
