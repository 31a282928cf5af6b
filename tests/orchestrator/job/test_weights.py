"""Which weights a job names, wherever it names them."""

from collections.abc import Callable
from pathlib import Path

from orchestrator.job import weights
from orchestrator.job.schema import Job

TAUGHT = "method={name: bitmixer, stage: 2, teacher: float, teacher_weights: t}"


def test_weights_of_the_start_of_teachers_and_of_phases_are_named_once_and_renamed(
    tiny_job: Callable[..., Job],
) -> None:
    phases = "phases=[{}, {method: {teacher_weights: u}}, {method: {teacher_weights: s}}]"
    job = tiny_job("start={from: checkpoint, weights: s}", TAUGHT, phases)
    assert sorted(Path(given).name for given in weights.named(job)) == ["s", "t", "u"]
    new = weights.renamed(job, lambda given: f"{Path(given).name}2")
    assert new.start.weights == "s2"
    assert [phase.method.teacher_weights for phase in new.phase_jobs()] == ["t2", "u2", "s2"]
    assert weights.renamed(tiny_job(), str.upper) == tiny_job()


def test_what_a_job_from_scratch_would_start_from_is_not_needed(
    tiny_job: Callable[..., Job],
) -> None:
    job = tiny_job("start={from: checkpoint, weights: s}")
    scratch = job.start.model_copy(update={"source": "scratch"})
    assert weights.named(job.model_copy(update={"start": scratch})) == []
