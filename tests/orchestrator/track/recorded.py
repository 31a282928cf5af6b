"""Metrics as a worker records them, brought to MLflow at once."""

from collections.abc import Mapping

import pytest

from orchestrator.store.run_folder import RunFolder
from orchestrator.track import delivery
from orchestrator.track.journal import Journal
from orchestrator.track.run import TrackedRun


def record(
    run: TrackedRun, folder: RunFolder, step: int, epoch: int, metrics: Mapping[str, float]
) -> None:
    """Record metrics in a run's folder, and send all that waits there."""
    Journal(folder).log(step, epoch, metrics)
    delivery.deliver_all(run, folder, pytest.fail)
