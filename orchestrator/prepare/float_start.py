"""The file of a float model that `model.weights` means: a file, a checkpoint, or a finished run."""

from pathlib import Path

import yaml

from orchestrator.errors import CheckpointMismatch
from orchestrator.store.run_folder import WEIGHTS, RunFolder


def weights_file(given: Path) -> Path:
    """Return the weights of a checkpoint's or a float run's folder; a file is returned as it is.

    Of a run these are the ones whose results it shows: the last, or the best with
    `checkpoint.select: best`. Raises CheckpointMismatch, in one line, for any other folder.
    """
    if not given.is_dir():
        return given
    if (given / WEIGHTS).is_file():
        return given / WEIGHTS
    run = RunFolder(given)
    if not run.job.exists():
        raise CheckpointMismatch(f"model.weights: {given} is no folder of a run or a checkpoint.")
    job = yaml.safe_load(run.job.read())
    if job["method"]["name"] != "float":
        raise CheckpointMismatch(
            f"model.weights: {given.name} was trained by the method '{job['method']['name']}', not "
            "'float'; jobs/float has a job for each float model."
        )
    if not run.result.exists():
        raise CheckpointMismatch(
            f"model.weights: {given.name} has not finished; `orch resume {given.name}` ends it, or "
            "name one of its checkpoint folders."
        )
    kept = run.best() if job["checkpoint"]["select"] == "best" else run.checkpoints()
    if not kept:
        raise CheckpointMismatch(f"model.weights: {given} holds no checkpoint any more.")
    return kept[-1] / WEIGHTS
