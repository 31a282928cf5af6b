"""The driver of a job: `python -m orchestrator.train.launch run.json` on the cluster.

run.json: {"run": id, "run_dir": folder, "attempt": number from 1, "job": the job's values}.
Opens the MLflow run, lets Ray Train run the workers, and says how it ended.
"""

import os
import signal
import sys
import traceback
from pathlib import Path

import yaml
from pydantic import ValidationError

from orchestrator import __version__, handover
from orchestrator.errors import JobFailed, OrchError, UsageError
from orchestrator.events import Event, Failed, Started, Stopped, inform, say, warn
from orchestrator.job.differ import check_unchanged
from orchestrator.job.schema import Job, job_from_dict
from orchestrator.job.source import Values, dump
from orchestrator.plan.batch import plan_batch
from orchestrator.prepare import preflight
from orchestrator.run_facts import Events, finished_in
from orchestrator.shipment import Shipment
from orchestrator.store.run_folder import RunFolder, WholeFile
from orchestrator.track import record
from orchestrator.track.journal import Journal
from orchestrator.track.run import TrackedRun
from orchestrator.train import job_log, run_checkpoints
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
        job = _job(given.job)
        reference = preflight.check(job, folder)
        _prepare(folder, job, again=given.attempt > 1)
        tracked = record.open_record(folder, warn)
        _announce(given.run, folder, tracked)
        _train(job, Run(folder, tracked, reference))
        return _conclude(folder, tracked)
    except StopAsked:
        return _stopped(folder, tracked)
    except OrchError as error:
        return _fail(folder, tracked, str(error), error.exit_code)
    except Exception as error:
        traceback.print_exc()
        failure = as_failure(error, folder.path)
        return _fail(folder, tracked, str(failure), failure.exit_code)
    finally:
        handover.remove()


def _job(values: Values) -> Job:
    try:
        return job_from_dict(values)
    except (ValidationError, KeyError) as error:
        raise UsageError(
            f"This version of orch ({__version__}) cannot read the job: {error}"
        ) from error


def _prepare(folder: RunFolder, job: Job, *, again: bool) -> None:
    """Make the run's folder, or check that what is in it belongs to the same job."""
    if folder.job.exists() and (kept := _kept_job(folder.job)):
        check_unchanged(kept, job.as_dict(), str(folder))
    folder.make()
    folder.job.write(dump(job.as_dict()))
    folder.withdraw_stop()
    if run_checkpoints.latest(folder) is None and again:
        warn(f"{folder} holds no checkpoint to continue from; the run begins at epoch 1.")


def _kept_job(file: WholeFile) -> Values | None:
    """Return the settings a run began with; None, with a warning, when the file is damaged.

    Every checkpoint has them as well, so they are compared in any case.
    """
    try:
        kept = yaml.safe_load(file.read())
    except (yaml.YAMLError, UnicodeDecodeError):
        kept = None
    if isinstance(kept, dict) and kept:
        return kept
    warn(f"{file.path} was damaged and is rewritten.")
    return None


def _announce(run: str, folder: RunFolder, tracked: TrackedRun) -> None:
    places = record.places(folder, tracked)
    Events(folder).say(Started(run=run, run_dir=str(folder), mlflow=places))


def _train(job: Job, run: Run) -> None:
    """Let Ray Train run the workers. Raises JobFailed when they fail for good."""
    import ray
    from ray.train import TrainingFailedError

    from orchestrator.train.trainer import build_trainer

    plan = plan_batch(
        job.training.global_batch, job.cluster.num_workers, job.cluster.max_batch_per_worker
    )
    inform(f"Global batch {plan.sentence()}.")
    ray.init(logging_level="WARNING", runtime_env={"env_vars": _cluster_address()})
    _stop_on_sigterm(run.folder)
    trainer = build_trainer(job, run)
    inform(f"Starting {job.cluster.num_workers} workers, each of which loads PyTorch first ...")
    try:
        trainer.fit()
    except TrainingFailedError as error:
        raise _reason(error) from error


def _cluster_address() -> dict[str, str]:
    """Return the address at which the workers reach their own cluster.

    Without it Ray reads a file that another cluster on this machine may have left behind, and
    waits for that one.
    """
    return {key: os.environ[key] for key in ("RAY_ADDRESS",) if key in os.environ}


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
    _close(folder, tracked, "FINISHED", end.table)
    Events(folder).say(end)
    return 0


def _stopped(folder: RunFolder, tracked: TrackedRun | None) -> int:
    """Report that the run was stopped before its end."""
    if tracked is not None:
        _close(folder, tracked, "KILLED")
    message = "Stopped on request; what was done is saved; `orch resume` continues from there."
    _say_last(folder, Stopped(message=message))
    return 1


def _close(folder: RunFolder, tracked: TrackedRun, status: str, table: str | None = None) -> None:
    """Send what waits and set the record's status; a silent server causes a warning."""
    try:
        now = record.close_record(folder, tracked, status, warn, table)
        if now != tracked:
            _announce(folder.name, folder, now)
    except OrchError as error:
        warn(
            f"{error} {Journal(folder).waiting()} metrics wait in the run's folder; "
            f"`orch sync {folder.name}` sends them and says in MLflow how the run ended."
        )
    except OSError as error:
        warn(str(as_failure(error, folder.path)))


def _say_last(folder: RunFolder, event: Event) -> None:
    if folder.is_there():
        Events(folder).say(event)
    else:
        say(event)


def _fail(folder: RunFolder, tracked: TrackedRun | None, message: str, exit_code: int) -> int:
    """Report why the run failed; the record says FAILED if it can be reached."""
    if tracked is not None:
        _close(folder, tracked, "FAILED")
    _say_last(folder, Failed(message=message, exit_code=exit_code))
    return exit_code


if __name__ == "__main__":
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    job_log.install()
    sys.exit(main(sys.argv[1]))
