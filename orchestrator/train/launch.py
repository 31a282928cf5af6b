"""The driver of a job: `python -m orchestrator.train.launch run.json` on the cluster.

run.json: {"run": id, "run_dir": folder, "attempt": number from 1, "job": the job's values}.
Lets Ray Train run the workers, brings to MLflow what they record, and says how the run ended.
"""

import os
import sys
import tempfile
from pathlib import Path

from orchestrator.errors import JobFailed, OrchError
from orchestrator.events import inform, warn
from orchestrator.job.schema import Job
from orchestrator.run_facts import facts_of
from orchestrator.track.sender import Sender
from orchestrator.track.server import ask_once
from orchestrator.train import driver, job_log, run_checkpoints
from orchestrator.train.gauges import Gauges
from orchestrator.train.worker import Run


def main(path: str) -> int:
    """Run a job to its end; return the exit code."""
    return driver.drive(path, _run)


def _run(job: Job, run: Run, attempt: int, sender: Sender) -> int:
    if run_checkpoints.latest(run.folder) is None and attempt > 1:
        warn(f"{run.folder} holds no checkpoint to continue from; the run begins at epoch 1.")
    _train(job, run, sender)
    return _conclude(run, sender)


def _train(job: Job, run: Run, sender: Sender) -> None:
    """Let Ray Train run the workers.

    Raises JobFailed when they fail for good, and LostController.
    """
    inform(f"Global batch {job.plans[-1].sentence()}.")
    driver.connect()  # the node starts processes of the job while this one imports Ray Train
    from ray.exceptions import ActorUnschedulableError, RayActorError
    from ray.train import TrainingFailedError

    from orchestrator.train.sizing import NothingStarted
    from orchestrator.train.train_page import take_over
    from orchestrator.train.trainer import build_trainer
    from orchestrator.train.why_lost import why_lost_controller

    job_log.listen(Gauges(run.folder).hear)
    driver.pass_stop_on(run.folder)
    if facts_of(run.folder).restarts:
        take_over()
    inform(f"Starting {job.cluster.counted} workers, each of which loads PyTorch first ...")
    sender.watch(run.folder)
    with tempfile.TemporaryDirectory(prefix="orch-ray-train-") as notes:
        try:
            build_trainer(job, run, Path(notes)).fit()
        except TrainingFailedError as error:
            named = getattr(error, "controller_failure", None)
            if isinstance(named, NothingStarted):
                return
            raise _reason(error) from error
        except (RayActorError, ActorUnschedulableError) as error:
            raise driver.LostController(why_lost_controller(error)) from error


def _reason(error: Exception) -> OrchError:
    """Return the failure that a worker or `Patience` named, else Ray Train's message."""
    named = getattr(error, "controller_failure", None)
    if isinstance(named, OrchError):
        return named
    return JobFailed(f"Ray Train ended the run: {str(named or error).strip()}")


def _conclude(run: Run, sender: Sender) -> int:
    """Report how the run ended: stopped on request, or finished with its table."""
    if not run.folder.result.exists():
        return driver.stopped(run.folder, sender)
    return driver.finished(run.folder, sender, driver.results_of(run.folder))


if __name__ == "__main__":
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    ask_once()
    job_log.install()
    sys.exit(main(sys.argv[1]))
