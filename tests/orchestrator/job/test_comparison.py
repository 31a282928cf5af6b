from pathlib import Path

import pytest

from orchestrator.job.comparison import comparison_mistakes
from orchestrator.job.load import load_job
from orchestrator.job.search import Search

JOB = """
name: mine
model: {name: resnet18_cifar}
data: {name: cifar10, root: data}
quantizer: {bit_widths: [8, 4]}
method: {name: coquant, lambda: 1e-3, p1: 0.9}
optimizer: {lr: 5e-2}
training: {epochs: 3, global_batch: 128}
"""
REFERENCE = "reference.published="


def problem(folder: Path, metric: str, *overrides: str, scheduler: str = "none") -> str:
    file = folder / "mine.yaml"
    file.write_text(JOB)
    search = Search.model_validate(
        {"space": {"seed": {"grid": [1]}}, "metric": metric, "scheduler": {"name": scheduler}}
    )
    found = list(comparison_mistakes(load_job(file, overrides).job, search))
    return found[0][1] if found else ""


def test_weights_that_nothing_trains_are_not_compared(tmp_path: Path) -> None:
    direct = ["method={name: direct}", "training.epochs=0", "start={from: float, weights: a.pt}"]
    assert problem(tmp_path, "mean", *direct) == (
        "'direct' trains nothing, so nothing is to be found; leave `search` out."
    )


@pytest.mark.parametrize("metric", ["mean", "worst", "8bit", "4bit"])
def test_a_job_has_means_and_the_points_that_it_trains(tmp_path: Path, metric: str) -> None:
    assert problem(tmp_path, metric) == ""


def test_an_unknown_metric_is_named_with_the_nearest(tmp_path: Path) -> None:
    assert problem(tmp_path, "2bit") == (
        "no metric and no point of the last epoch is called '2bit'. Did you mean '8bit'? Known: "
        "4bit, 8bit, delta_b, mean, worst."
    )


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ([], "delta_b compares with individual runs, and the job names none; set search.metric=m"),
        ([f"{REFERENCE}cifar10_resnet18"], ""),
        ([f"{REFERENCE}activitynet_resnet18"], "'activitynet_resnet18' has map, this job top1; se"),
        (
            [f"{REFERENCE}cifar10_resnet18", "quantizer.bit_widths=[8, 5]"],
            "'cifar10_resnet18' has no result at 5bit for delta_b; set search.metric=mean, or",
        ),
        (["reference.runs={8: a, 4: b}"], ""),
    ],
)
def test_delta_b_needs_a_reference_of_the_same_metric_at_all_points(
    tmp_path: Path, reference: list[str], expected: str
) -> None:
    found = problem(tmp_path, "delta_b", *reference)
    assert expected in found
    assert bool(found) == bool(expected)


def test_a_scheduler_compares_after_every_phase(tmp_path: Path) -> None:
    phases = (
        "phases=[{method: {name: individual}, quantizer: {bit_widths: [8]}, training: {epochs: 1}},"
        " {method: {name: individual}, quantizer: {bit_widths: [4]}, training: {epochs: 1}}]"
    )
    assert problem(tmp_path, "4bit", phases) == ""
    assert problem(tmp_path, "mean", phases, scheduler="asha") == ""
    assert problem(tmp_path, "4bit", phases, scheduler="asha") == (
        "'asha' needs 4bit in every phase; not all train it."
    )
    runs = "reference.runs={4: a}"
    assert problem(tmp_path, "delta_b", phases, runs) == ""
    found = problem(tmp_path, "delta_b", phases, runs, scheduler="asha")
    assert "reference.runs has no result at 8bit for delta_b" in found
