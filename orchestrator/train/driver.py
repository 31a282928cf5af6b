"""What the drivers of runs and of searches have in common: a folder, a record, an end."""

import os

import yaml
from pydantic import ValidationError

from orchestrator import __version__
from orchestrator.errors import OrchError, UsageError
from orchestrator.events import Event, Failed, Started, say, warn
from orchestrator.job.differ import check_unchanged
from orchestrator.job.schema import Job, job_from_dict
from orchestrator.job.source import Values, dump
from orchestrator.run_facts import Events
from orchestrator.store.run_folder import RunFolder, WholeFile
from orchestrator.track import record
from orchestrator.track.journal import Journal
from orchestrator.track.run import TrackedRun
from orchestrator.train.failures import as_failure


def read_job(values: Values) -> Job:
    """Return the job of the values that were shipped. Raises UsageError for another version's."""
    try:
        return job_from_dict(values)
    except (ValidationError, KeyError) as error:
        raise UsageError(
            f"This version of orch ({__version__}) cannot read the job: {error}"
        ) from error


def prepare(folder: RunFolder, job: Job) -> None:
    """Make the run's folder, or check that what is in it belongs to the same job."""
    if folder.job.exists() and (kept := _kept_job(folder.job)):
        check_unchanged(kept, job.as_dict(), str(folder))
    folder.make()
    folder.job.write(dump(job.as_dict()))
    folder.withdraw_stop()


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


def announce(folder: RunFolder, tracked: TrackedRun) -> None:
    """Say that the run has begun, and where its record is."""
    places = record.places(folder, tracked)
    Events(folder).say(Started(run=folder.name, run_dir=str(folder), mlflow=places))


def connect() -> None:
    """Connect this process to its cluster."""
    import ray

    ray.init(logging_level="WARNING", runtime_env={"env_vars": _cluster_address()})


def _cluster_address() -> dict[str, str]:
    """Return the address at which the workers reach their own cluster.

    Without it Ray reads a file that another cluster on this machine may have left behind, and
    waits for that one.
    """
    return {key: os.environ[key] for key in ("RAY_ADDRESS",) if key in os.environ}


def close(folder: RunFolder, tracked: TrackedRun, status: str, table: str | None = None) -> None:
    """Send what waits and set the record's status; a silent server causes a warning."""
    try:
        now = record.close_record(folder, tracked, status, warn, table)
        if now != tracked:
            announce(folder, now)
    except OrchError as error:
        warn(
            f"{error} {Journal(folder).waiting()} metrics wait in the run's folder; "
            f"`orch sync {folder.name}` sends them and says in MLflow how the run ended."
        )
    except OSError as error:
        warn(str(as_failure(error, folder.path)))


def say_last(folder: RunFolder, event: Event) -> None:
    """Report how an attempt ended, also where the run's folder was never made."""
    if folder.is_there():
        Events(folder).say(event)
    else:
        say(event)


def fail(folder: RunFolder, tracked: TrackedRun | None, message: str, exit_code: int) -> int:
    """Report why the run failed; the record says FAILED if it can be reached."""
    if tracked is not None:
        close(folder, tracked, "FAILED")
    say_last(folder, Failed(message=message, exit_code=exit_code))
    return exit_code
