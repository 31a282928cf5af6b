"""A job that benchmarks train by itself, in one process, is trained as by a worker of Ray."""

from collections.abc import Callable
from pathlib import Path

from benchmarks.alone import train_for_table
from orchestrator.job.schema import Job
from orchestrator.store.run_folder import RunFolder


def test_a_training_for_a_table_has_all_epochs_and_keeps_one_checkpoint(
    tiny_job: Callable[..., Job], tmp_path: Path
) -> None:
    job = tiny_job("training.epochs=2", "checkpoint.keep=3")
    made = train_for_table(job, tmp_path / "alone", {"p1": 0.9}, "")
    assert (made.failed, made.settings) == ("", {"p1": 0.9})
    names = {point.name for point in job.points}
    assert [set(epoch) for epoch in made.epochs] == [names, names]
    assert len(RunFolder(tmp_path / "alone").checkpoints()) == 1


def test_a_training_that_fails_keeps_the_epochs_before(
    tiny_job: Callable[..., Job], tmp_path: Path
) -> None:
    made = train_for_table(tiny_job("optimizer.lr=1e12"), tmp_path / "alone", {}, "")
    assert made.failed
    assert made.epochs == ()
