from pathlib import Path

import pytest

from orchestrator.errors import JobFileError
from orchestrator.job import corners
from orchestrator.job.corners import corner_jobs
from orchestrator.job.load import load_job

JOB = """
name: mine
model: {name: resnet18_cifar}
data: {name: cifar10, root: data}
method: {name: coquant, lambda: 1e-3, p1: 0.9}
optimizer: {lr: 5e-2}
training: {epochs: 3, global_batch: 128}
search:
  metric: mean
  trials: 4
  space:
"""


def mistakes(folder: Path, *axes: str) -> list[str]:
    file = folder / "mine.yaml"
    file.write_text(JOB + "".join(f"    {axis}\n" for axis in axes))
    try:
        load_job(file)
    except JobFileError as error:
        return [line.rpartition("/")[2] for line in error.mistakes]
    return []


def test_an_end_that_no_job_can_have_is_named_with_its_line(tmp_path: Path) -> None:
    assert mistakes(
        tmp_path, "method.lambda: {grid: [0, 1]}", "method.p1: {uniform: [-1, 1.2]}"
    ) == [
        "mine.yaml:13  search.space.method.p1, corner p1=-1.0: input should be greater than or "
        "equal to 0, got -1.0.",
        "mine.yaml:13  search.space.method.p1, corner p1=1.2: input should be less than or equal "
        "to 1, got 1.2.",
    ]


def test_values_in_between_are_tried_where_they_are_listed(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, "cluster.num_workers: {choice: [1, 3, 4]}")
    assert found.startswith(
        "mine.yaml:12  search.space.cluster.num_workers, corner num_workers=3: 3 workers cannot "
    )


def test_a_pair_that_cannot_go_together_is_named_alone(tmp_path: Path) -> None:
    """64 workers share 128 samples, not 96; the other axes play no part."""
    lines = mistakes(
        tmp_path,
        "method.p1: {uniform: [0.1, 0.9]}",
        "training.global_batch: {choice: [120, 128]}",
        "cluster.num_workers: {choice: [4, 8, 1]}",
        "optimizer.lr: {choice: [0.1, 0.2]}",
        "optimizer.momentum: {choice: [0.1, 2]}",
    )
    assert [line.partition(": ")[0] for line in lines] == [
        "mine.yaml:16  search.space.optimizer.momentum, corner momentum=2"
    ]
    lines = mistakes(
        tmp_path,
        "method.p1: {uniform: [0.1, 0.9]}",
        "training.global_batch: {choice: [96, 128]}",
        "optimizer.lr: {choice: [0.1, 0.2]}",
        "cluster.num_workers: {choice: [2, 64]}",
    )
    assert [line.partition(": ")[0] for line in lines] == [
        "mine.yaml:15  search.space.cluster.num_workers, corner global_batch=96, num_workers=64"
    ]


@pytest.mark.parametrize("most", [512, 1])
def test_pairs_are_tried_where_a_product_is_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(corners, "MOST", most)
    lines = mistakes(
        tmp_path,
        "training.global_batch: {choice: [96, 128]}",
        "optimizer.lr: {choice: [0.1, 0.2]}",
        "cluster.num_workers: {choice: [2, 64]}",
    )
    assert [line.partition(": ")[0] for line in lines] == [
        "mine.yaml:14  search.space.cluster.num_workers, corner global_batch=96, num_workers=64"
    ]


def test_a_condition_keeps_a_setting_from_a_component_that_does_not_know_it(
    tmp_path: Path,
) -> None:
    name = "method.name: {choice: [coquant, adabits]}"
    condition = "when: {method.name: coquant}"
    assert mistakes(tmp_path, name, f"method.p1: {{uniform: [0.1, 0.9], {condition}}}") == []
    keys = ("method.p1: {uniform: [0.1, 0.9]}", "method.lambda: {choice: [0]}")
    advice = "unknown key. Known: name. A condition helps: {..., when: {method.name: coquant}}."
    assert sorted(mistakes(tmp_path, name, *keys)) == [
        f"mine.yaml:13  search.space.method.p1, corner name=adabits, p1=0.1: {advice}",
        f"mine.yaml:14  search.space.method.lambda, corner name=adabits, lambda=0: {advice}",
    ]
    other = "when: {method.name: any_precision}"
    name = "method.name: {choice: [coquant, any_precision]}"
    (found,) = mistakes(tmp_path, name, f"method.labels: {{choice: [all, none], {other}}}")
    assert found.startswith(
        "mine.yaml:13  search.space.method.labels, corner name=any_precision, labels=none: expect"
    )


def test_each_corner_has_the_metric(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(JOB + "    quantizer.bit_widths: {choice: [[8, 4], [8, 2]]}\n")
    with pytest.raises(JobFileError) as caught:
        load_job(file, ["search.metric=4bit"])
    assert [line.partition("  ")[2][:80] for line in caught.value.mistakes] == [
        "search.space.quantizer.bit_widths, corner bit_widths=[8, 2]: search.metric: no m"
    ]


def test_a_path_is_given_whole(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, "data.root: {choice: [/there, here]}")
    assert found.endswith("here; give the whole path.")


def test_jobs_of_some_sections_leave_all_other_keys_alone(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        f"{JOB}    method.p1: {{uniform: [0.1, 0.2]}}\n"
        "    cluster.num_workers: {choice: [1, 2, 4]}\n"
        "    training.global_batch: {choice: [64, 128]}\n"
    )
    job = load_job(file).job
    found = [
        (settings, one.cluster.num_workers, one.training.global_batch, one.method.swap_probability)
        for settings, one in corner_jobs(job, ("cluster", "training.global"))
    ]
    assert found == [
        ({"cluster.num_workers": 1}, 1, 128, 0.9),
        ({"cluster.num_workers": 2}, 2, 128, 0.9),
        ({"cluster.num_workers": 4}, 4, 128, 0.9),
    ]
    assert list(corner_jobs(job, ("data",))) == [({}, job)]
    alone = load_job(file, ["search=null"]).job
    assert list(corner_jobs(alone, ("cluster",))) == [({}, alone)]


def test_ends_are_taken_alone_where_their_product_costs_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corners, "FEW", 3)
    file = tmp_path / "mine.yaml"
    file.write_text(
        f"{JOB}    cluster.num_workers: {{choice: [2, 4]}}\n"
        "    training.global_batch: {choice: [64, 256]}\n"
    )
    found = corner_jobs(load_job(file).job, ("cluster", "training"))
    assert [(one.cluster.num_workers, one.training.global_batch) for _, one in found] == [
        *[(2, 128), (4, 128), (1, 64), (1, 256)]
    ]


def test_runs_of_several_lengths_are_noticed_in_whole_sections(tmp_path: Path) -> None:
    axis = "training: {choice: [{epochs: 1}, {epochs: 3}]}\n  scheduler: {name: asha}"
    (found,) = mistakes(tmp_path, axis)
    assert "corner training={'epochs': 1}: training.epochs: 'asha' compares runs of on" in found


def test_pairs_of_long_lists_are_tried_at_their_ends(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    values = [round(0.3 + 0.01 * number, 2) for number in range(30)]
    file.write_text(
        f"{JOB}    method.p1: {{choice: {values}}}\n    optimizer.lr: {{choice: {values}}}\n"
    )
    job = load_job(file).job
    assert job.search is not None
    assert corners.number_of_corners(job, job.search) == 30 + 30 + 4
