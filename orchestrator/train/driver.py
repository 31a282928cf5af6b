"""What the drivers of runs and of searches have in common: a folder, a record, an end."""

import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path

import yaml
from pydantic import ValidationError

from orchestrator import __version__, handover
from orchestrator.errors import JobFailed, OrchError, UsageError
from orchestrator.events import Event, Failed, Finished, Started, Stopped, inform, say, warn
from orchestrator.job.differ import check_unchanged
from orchestrator.job.schema import Job, job_from_dict
from orchestrator.job.source import Values, dump
from orchestrator.prepare import preflight
from orchestrator.run_facts import Events, facts_of, finished_in
from orchestrator.shipment import Shipment
from orchestrator.store.run_folder import RunFolder
from orchestrator.track import record
from orchestrator.track.journal import Journal
from orchestrator.track.run import TrackedRun
from orchestrator.train.failures import as_failure
from orchestrator.train.supervise import AGAIN
from orchestrator.train.worker import Run

STOPPED = "Stopped on request; what was done is saved; `orch resume` continues from there."


class StopAsked(BaseException):
    """The cluster asked this process to end before the workers started."""


class LostController(Exception):
    """A process of Ray that this one depends on is gone: another driver can go on."""


def drive(path: str, go: Callable[[Job, Run, int], int]) -> int:
    """Prepare what `run.json` describes and let it go; return the exit code.

    go: trains the job of a run, whose record is open, in an attempt (from 1).
    """
    signal.signal(signal.SIGTERM, _stop_at_once)
    given = Shipment.read(Path(path))
    folder = RunFolder(Path(given.run_dir))
    tracked: TrackedRun | None = None
    try:
        handover.take_up()
        inform("Checking the job and opening its record ...")
        job = _job(given.job)
        reference = preflight.check(job, folder)
        prepare(folder, job)
        folder.withdraw_stop_by_name()  # whoever resumes a trial by its name wants it to go on
        tracked = record.open_record(folder, warn)
        announce(folder, tracked, given.attempt)
        return go(job, Run(folder, tracked, reference), given.attempt)
    except StopAsked:
        return stopped(folder, tracked)
    except LostController as fault:
        warn(str(fault))
        return AGAIN
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


def prepare(folder: RunFolder, job: Job) -> None:
    """Make the run's folder, or check that what is in it belongs to the same job.

    What an earlier driver asked of its workers is over.
    """
    if kept := kept_job(folder):
        check_unchanged(kept, job.as_dict(), str(folder))
    folder.make()
    folder.job.write(dump(job.as_dict()))
    folder.withdraw_stop()


def kept_job(folder: RunFolder) -> Values | None:
    """Return the settings a run began with; None if it has not, or, with a warning, if damaged.

    Every checkpoint has them as well, so they are compared in any case.
    """
    if not folder.job.exists():
        return None
    try:
        kept = yaml.safe_load(folder.job.read())
    except (yaml.YAMLError, UnicodeDecodeError):
        kept = None
    if isinstance(kept, dict) and kept:
        return kept
    warn(f"{folder.job.path} was damaged and is rewritten.")
    return None


def announce(folder: RunFolder, tracked: TrackedRun, attempt: int | None = None) -> None:
    """Say that the run has begun and where its record is."""
    places = record.places(folder, tracked)
    begun = Started(run=folder.name, run_dir=str(folder), mlflow=places, attempt=attempt)
    Events(folder).say(begun)


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


def pass_stop_on(folder: RunFolder) -> None:
    """From now on, pass a request to end on to the workers, which save first."""

    def ask(_signal: int, _frame: object) -> None:
        folder.ask_to_stop()

    signal.signal(signal.SIGTERM, ask)


def _stop_at_once(number: int, _frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise StopAsked


def results_of(folder: RunFolder) -> Finished:
    """Return the results that the workers left; their table is then in the folder, too.

    Raises JobFailed when they are damaged.
    """
    try:
        end = finished_in(folder)
    except ValueError:
        raise JobFailed(
            f"{folder.result.path} is damaged. Remove it; `orch resume` then continues from the "
            "last checkpoint."
        ) from None
    folder.table.write(end.table + "\n")
    return end


def stopped(folder: RunFolder, tracked: TrackedRun | None) -> int:
    """Report that the run was stopped before its end; return the exit code."""
    if tracked is not None:
        close(folder, tracked, "KILLED")
    _say_last(folder, Stopped(message=STOPPED))
    return 1


def close(folder: RunFolder, tracked: TrackedRun, status: str, table: str | None = None) -> None:
    """Send what waits and set the record's status; a silent server causes a warning."""
    try:
        now = record.close_record(folder, tracked, status, warn, table)
        if now != tracked:
            begun = facts_of(folder).started
            announce(folder, now, begun.attempt if begun else None)
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
        close(folder, tracked, "FAILED")
    _say_last(folder, Failed(message=message, exit_code=exit_code))
    return exit_code
