from pathlib import Path

import pytest

from orchestrator.job.load import load_job
from orchestrator.job.search import Search

JOB = """
name: mine
model: {name: resnet18_cifar}
data: {name: cifar10, root: data}
method: {name: coquant, lambda: 1e-3, p1: 0.9}
optimizer: {lr: 5e-2}
training: {epochs: 3, global_batch: 128}
search:
  space:
    method.lambda: {loguniform: [1e-5, 1], prior: {width: 10}, when: {method.name: coquant}}
    method.p1: {uniform: [0.3, 0.9]}
  metric: mean
  trials: 4
  scheduler: {name: asha, grace: 1, factor: 2}
"""


def loaded(folder: Path, *overrides: str) -> Search:
    file = folder / "mine.yaml"
    file.write_text(JOB)
    found = load_job(file, overrides).job.search
    assert found is not None
    return found


def test_an_axis_on_the_command_line_is_named_by_one_key(tmp_path: Path) -> None:
    found = loaded(tmp_path, "search.space.optimizer.clip.lr={uniform: [0.01, 0.1]}")
    assert found.space["optimizer.clip.lr"].uniform == (0.01, 0.1)


def test_an_axis_of_another_kind_replaces_the_weaker_one_but_for_its_condition(
    tmp_path: Path,
) -> None:
    axis = loaded(tmp_path, "search.space.method.lambda={grid: [0, 1]}").space["method.lambda"]
    assert axis.model_dump(exclude_none=True) == {
        "grid": (0, 1),
        "when": {"method.name": "coquant"},
    }


def test_a_prior_that_comes_with_another_kind_stays(tmp_path: Path) -> None:
    given = "search.space.method.lambda={choice: [0, 1e-3], prior: {width: 0.5}}"
    axis = loaded(tmp_path, given).space["method.lambda"]
    assert axis.prior is not None
    assert (axis.choice, axis.prior.width) == ((0, 0.001), 0.5)


def test_other_bounds_leave_the_prior_as_it_is(tmp_path: Path) -> None:
    given = "search.space.method.lambda={loguniform: [1e-4, 1]}"
    axis = loaded(tmp_path, given).space["method.lambda"]
    assert axis.prior is not None
    assert (axis.loguniform, axis.prior.width) == ((0.0001, 1.0), 10)


def test_an_axis_that_is_null_is_left_out(tmp_path: Path) -> None:
    assert list(loaded(tmp_path, "search.space.method.p1=null").space) == ["method.lambda"]


@pytest.mark.parametrize(
    ("name", "rest"), [("none", {}), ("median", {"grace": 1, "least": 3}), ("asha", {"factor": 2})]
)
def test_a_renamed_scheduler_keeps_what_it_knows(
    tmp_path: Path, name: str, rest: dict[str, int]
) -> None:
    found = loaded(tmp_path, f"search.scheduler.name={name}").scheduler.model_dump()
    assert {"name": name, **rest}.items() <= found.items()
