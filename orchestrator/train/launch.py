"""The driver of a job: `python -m orchestrator.train.launch run.json` on the cluster.

run.json: {"run": id, "run_dir": folder, "attempt": number from 1, "job": the job's values}.
Opens the MLflow run, lets Ray Train run the workers, and says how it ended.
"""

import os
import signal
import sys
import traceback
from pathlib import Path

from orchestrator import handover
from orchestrator.errors import JobFailed, OrchError
from orchestrator.events import Stopped, inform, warn
from orchestrator.job.schema import Job
from orchestrator.plan.batch import plan_batch
from orchestrator.prepare import preflight
from orchestrator.run_facts import Events, finished_in
from orchestrator.shipment import Shipment
from orchestrator.store.run_folder import RunFolder
from orchestrator.track import record
from orchestrator.track.run import TrackedRun
from orchestrator.train import driver, job_log, run_checkpoints
from orchestrator.train.failures import as_failure
from orchestrator.train.worker import Run


class StopAsked(BaseException):
    """The cluster asked this process to end before the workers started."""


def main(path: str) -> int:
    """Run a job to its end; return the exit code."""
    signal.signal(signal.SIGTERM, _stop_at_once)
    given = Shipment.read(Path(path))
    folder = RunFolder(Path(given.run_dir))
    tracked: TrackedRun | None = None
    try:
        handover.take_up()
        inform("Checking the job and opening its record ...")
        job = driver.read_job(given.job)
        reference = preflight.check(job, folder)
        driver.prepare(folder, job)
        if run_checkpoints.latest(folder) is None and given.attempt > 1:
            warn(f"{folder} holds no checkpoint to continue from; the run begins at epoch 1.")
        tracked = record.open_record(folder, warn)
        driver.announce(folder, tracked)
        _train(job, Run(folder, tracked, reference))
        return _conclude(folder, tracked)
    except StopAsked:
        return _stopped(folder, tracked)
    except OrchError as error:
        return driver.fail(folder, tracked, str(error), error.exit_code)
    except Exception as error:
        traceback.print_exc()
        failure = as_failure(error, folder.path)
        return driver.fail(folder, tracked, str(failure), failure.exit_code)
    finally:
        handover.remove()


def _train(job: Job, run: Run) -> None:
    """Let Ray Train run the workers. Raises JobFailed when they fail for good."""
    from ray.train import TrainingFailedError

    from orchestrator.train.trainer import build_trainer

    plan = plan_batch(
        job.training.global_batch, job.cluster.num_workers, job.cluster.max_batch_per_worker
    )
    inform(f"Global batch {plan.sentence()}.")
    driver.connect()
    _stop_on_sigterm(run.folder)
    trainer = build_trainer(job, run)
    inform(f"Starting {job.cluster.num_workers} workers, each of which loads PyTorch first ...")
    try:
        trainer.fit()
    except TrainingFailedError as error:
        raise _reason(error) from error


def _stop_on_sigterm(folder: RunFolder) -> None:
    """From now on, pass a request to end on to the workers, which save first."""

    def ask(_signal: int, _frame: object) -> None:
        folder.ask_to_stop()

    signal.signal(signal.SIGTERM, ask)


def _stop_at_once(_signal: int, _frame: object) -> None:
    raise StopAsked


def _reason(error: Exception) -> OrchError:
    """Return the failure that a worker or `Patience` named, else Ray Train's message."""
    named = getattr(error, "controller_failure", None)
    if isinstance(named, OrchError):
        return named
    return JobFailed(f"Ray Train ended the run: {str(named or error).strip()}")


def _conclude(folder: RunFolder, tracked: TrackedRun) -> int:
    """Report how the run ended: stopped on request, or finished with its table."""
    if not folder.result.exists():
        return _stopped(folder, tracked)
    try:
        end = finished_in(folder)
    except ValueError:
        raise JobFailed(
            f"{folder.result.path} is damaged. Remove it; `orch resume` then continues from the "
            "last checkpoint."
        ) from None
    folder.table.write(end.table + "\n")
    driver.close(folder, tracked, "FINISHED", end.table)
    Events(folder).say(end)
    return 0


def _stopped(folder: RunFolder, tracked: TrackedRun | None) -> int:
    """Report that the run was stopped before its end."""
    if tracked is not None:
        driver.close(folder, tracked, "KILLED")
    message = "Stopped on request; what was done is saved; `orch resume` continues from there."
    driver.say_last(folder, Stopped(message=message))
    return 1


if __name__ == "__main__":
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    job_log.install()
    sys.exit(main(sys.argv[1]))
