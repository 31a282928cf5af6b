"""Which weights a job names, wherever it names them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.job import weights
from orchestrator.job.schema import Job

TAUGHT = "method={name: bitmixer, stage: 2, teacher: float, teacher_weights: t}"


def test_weights_of_the_start_of_teachers_and_of_phases_are_named_once_and_renamed(
    tiny_job: Callable[..., Job],
) -> None:
    phases = "phases=[{}, {method: {teacher_weights: u}}, {method: {teacher_weights: s}}]"
    job = tiny_job("start={from: checkpoint, weights: s}", TAUGHT, phases)
    assert sorted(weights.named(job)) == ["s", "t", "u"]
    new = weights.renamed(job, lambda given: f"{given}2")
    assert new.start.weights == "s2"
    assert [phase.method.teacher_weights for phase in new.phase_jobs()] == ["t2", "u2", "s2"]
    assert weights.renamed(tiny_job(), str.upper) == tiny_job()


def test_what_a_job_from_scratch_would_start_from_is_not_needed(
    tiny_job: Callable[..., Job],
) -> None:
    job = tiny_job("start={from: checkpoint, weights: s}")
    scratch = job.start.model_copy(update={"source": "scratch"})
    assert weights.named(job.model_copy(update={"start": scratch})) == []


def test_the_weights_of_a_teacher_that_does_not_teach_are_not_needed(
    tiny_job: Callable[..., Job],
) -> None:
    assert weights.named(tiny_job(TAUGHT.replace("teacher: float", "teacher: none"))) == []


@pytest.mark.parametrize("given", ["digits", "digits-20260101-120000-abcd", "last", "d.t007"])
def test_one_word_is_the_name_of_a_run_unless_such_a_file_is_there(
    tiny_job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.chdir(tmp_path)
    job = tiny_job(f"start={{from: float, weights: {given}}}")
    assert (job.start.weights, weights.is_run(given)) == (given, True)
    (tmp_path / given).touch()
    assert (
        tiny_job(f"start={{from: float, weights: {given}}}").start.weights == f"{tmp_path}/{given}"
    )


@pytest.mark.parametrize("given", ["runs/digits", "./last", "model.pth", "../m", "m.safetensors"])
def test_anything_else_is_a_path(
    tiny_job: Callable[..., Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.chdir(tmp_path)
    found = tiny_job(f"start={{from: float, weights: {given}}}").start.weights
    assert found == str((tmp_path / given).resolve())
    assert not weights.is_run(found)
