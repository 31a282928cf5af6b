import re
from copy import deepcopy
from pathlib import Path

import pytest

from orchestrator.errors import CheckpointMismatch
from orchestrator.job.differ import FREE, check_unchanged, differences
from orchestrator.job.load import load_job

JOB = """
name: mine
model: {name: resnet18_cifar}
data: {name: cifar10, root: data}
method: {name: coquant}
optimizer: {lr: 0.05}
training: {epochs: 3, global_batch: 128}
"""


def test_only_what_is_learned_counts_as_a_difference() -> None:
    old = {
        "name": "a",
        "optimizer": {"lr": 0.1, "clip": {"init": 8}},
        "cluster": {"num_workers": 1},
    }
    new = {
        "name": "b",
        "optimizer": {"lr": 0.2, "clip": {"init": 8}},
        "cluster": {"num_workers": 2},
    }
    assert differences(old, new) == ["optimizer.lr: 0.1 -> 0.2"]


def test_where_the_data_lies_may_change() -> None:
    old = {"data": {"root": "/a", "crop": 224}, "start": {"weights": "/a/w.pt"}}
    assert differences(old, {"data": {"root": "/b", "crop": 224}, "start": {"weights": None}}) == []


def test_the_readme_names_what_may_change() -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    [sentence] = re.findall(r"A run continues only with(.*?)Other\s+changes", readme, re.DOTALL)
    assert set(re.findall(r"`(.+?)`", sentence)) == set(FREE) - {"output"}


def test_settings_that_only_one_job_has_are_differences() -> None:
    assert differences({"a": {"b": 1}}, {}) == ["a.b: 1 -> not set"]
    assert differences({}, {"a": 2}) == ["a: not set -> 2"]


def test_a_changed_phase_is_named_by_its_number_from_1() -> None:
    old = {"phases": [{}, {"optimizer": {"lr": 0.1}}]}
    new = {"phases": [{}, {"optimizer": {"lr": 0.2}}, {"training": {"epochs": 3}}]}
    assert differences(old, new) == [
        "phases.2.optimizer.lr: 0.1 -> 0.2",
        "phases.3.training.epochs: not set -> 3",
    ]


def test_a_changed_job_is_refused_with_every_change_and_what_to_do() -> None:
    old = {"optimizer": {"lr": 0.1}, "seed": 1, "name": "a"}
    check_unchanged(old, old | {"name": "b"}, "digits-1")
    with pytest.raises(CheckpointMismatch) as caught:
        check_unchanged(old, old | {"optimizer": {"lr": 0.2}, "seed": 2}, "digits-1")
    assert str(caught.value).splitlines() == [
        "digits-1 began with other settings:",
        "  optimizer.lr: 0.1 -> 0.2",
        "  seed: 1 -> 2",
        "Undo these changes, or submit the job as a new run.",
    ]


def test_a_setting_that_a_run_was_begun_without_had_its_default(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(JOB)
    same, new = (load_job(file, given).job.as_dict() for given in ([], ["optimizer.nesterov=true"]))
    old = deepcopy(same)
    for section, key in (
        ("optimizer", "warmup_epochs"),
        ("evaluate", "random"),
        ("model", "width"),
    ):
        del old[section][key]
    del old["quantizer"]["weights"]["align_domain"], old["start"]
    check_unchanged(old, same, "mine-1")
    with pytest.raises(CheckpointMismatch) as caught:
        check_unchanged(old, new, "mine-1")
    assert str(caught.value).splitlines()[1:-1] == ["  optimizer.nesterov: False -> True"]


def test_a_search_may_be_extended_and_not_changed() -> None:
    old = {"search": {"trials": 8, "budget": {"hours": 1}, "at_once": None, "max_failed": 3}}
    new = {"search": {"trials": 12, "budget": {"hours": 2}, "at_once": 2, "max_failed": 5}}
    assert differences(old, new) == []
    new = {"search": {**new["search"], "metric": "mean"}}
    assert differences(old, new) == ["search.metric: not set -> mean"]


def test_a_search_by_delta_b_keeps_its_reference_and_others_need_none() -> None:
    old = {"reference": {"runs": "a"}, "search": {"metric": "delta_b"}}
    new = {"reference": {"runs": "b"}, "search": {"metric": "delta_b"}}
    assert differences(old, new) == ["reference.runs: a -> b"]
    old["search"] = new["search"] = {"metric": "mean"}
    assert differences(old, new) == []
