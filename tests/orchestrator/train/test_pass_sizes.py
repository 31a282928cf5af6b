"""A run that goes on with passes of another size, as with another number of workers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.job.schema import Job
from orchestrator.store.run_folder import RunFolder
from orchestrator.train.state import TrainState


def test_an_epoch_in_passes_of_two_sizes_has_the_mean_loss_of_its_samples(
    tiny_job: Callable[..., Job], run: Callable[..., Any], tmp_path: Path
) -> None:
    """Weights as good as stand still, so that a step's loss depends on its passes alone."""
    own = ("method={name: joint}", "training.epochs=1", "optimizer={lr: 1e-12, clip: {lr: 1e-12}}")
    jobs = {size: tiny_job(*own, f"cluster.max_batch_per_worker={size}") for size in (8, 2)}

    def first_step(size: int, name: str) -> float:
        (tmp_path / name).mkdir()
        RunFolder(tmp_path / name).ask_to_stop()
        stopped = run(jobs[size], name).context
        [tally] = TrainState.read(Path(stopped.latest())).tallies
        RunFolder(tmp_path / name).withdraw_stop()
        return tally.loss["4bit"] / tally.passes["4bit"]

    def mean(size: int, name: str) -> float:
        return float(run(jobs[size], name).context.reports[-1]["train_loss/4bit"])

    first_in_eights, first_in_twos = first_step(8, "resumed"), first_step(2, "other")
    in_twos = 3 * mean(2, "other") - first_in_twos  # of the two other steps together
    assert abs(first_in_eights - first_in_twos) > 1e-3
    assert mean(2, "resumed") == pytest.approx((first_in_eights + in_twos) / 3, abs=1e-5)
