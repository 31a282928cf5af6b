"""What the drivers of runs and of searches have in common: a folder, a record, an end."""

import os
import signal
import threading
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import yaml
from pydantic import ValidationError

from orchestrator import __version__, handover
from orchestrator.errors import JobFailed, OrchError, UsageError
from orchestrator.events import Failed, Finished, Started, Stopped, inform, warn
from orchestrator.job.differ import check_unchanged
from orchestrator.job.schema import Job, job_from_dict
from orchestrator.job.source import Values, dump
from orchestrator.prepare import preflight
from orchestrator.run_facts import Events, check_is_there, end_of, finished_in, tell
from orchestrator.shipment import Shipment
from orchestrator.store.folder import StorageTrouble
from orchestrator.store.run_folder import RunFolder
from orchestrator.store.search_folder import SearchFolder
from orchestrator.track import record
from orchestrator.track.journal import Journal
from orchestrator.track.run import remembered_run
from orchestrator.track.sender import Sender
from orchestrator.train.failures import as_failure, first_line
from orchestrator.train.sources import wait_for_sources
from orchestrator.train.supervise import STOPPED, ask_for_another
from orchestrator.train.worker import Run


class StopAsked(BaseException):
    """The cluster asked this process to end before the workers started."""


class LostController(Exception):
    """A process of Ray that this one depends on is gone: another driver can go on."""


def drive(path: str, go: Callable[[Job, Run, int, Sender], int]) -> int:
    """Prepare what `run.json` describes and let it go; return the exit code.

    go: trains the job of a run in an attempt (from 1), and lets the sender watch it.
    """
    signal.signal(signal.SIGTERM, _stop_at_once)
    given = Shipment.read(Path(path))
    folder = RunFolder(given.run_dir)
    sender: Sender | None = None
    try:
        handover.take_up()
        inform("Checking the job ...")
        job = _job(given.job)
        check_is_there(folder, given.reached)
        wait_for_sources(job, folder)
        reference = preflight.check(
            job,
            folder,
            first=given.attempt == 1,
            known=given.reference,
            away=_go_on_without,
        )
        prepare(folder, job)
        folder.withdraw_stop_by_name()  # whoever resumes a trial by its name wants it to go on
        begin(folder, given.attempt)
        sender = Sender()
        return go(job, Run(folder, reference), given.attempt, sender)
    except StopAsked:
        return _end_at_once(folder, sender)
    except LostController as fault:
        warn(str(fault))
        return ask_for_another(Path(path), str(fault))
    except StorageTrouble as error:
        failure = as_failure(error, str(folder))
        if sender is None:
            return _fail(folder, sender, str(failure), failure.exit_code)
        warn(str(failure))
        sender.finish()
        return ask_for_another(Path(path), f"The run's storage was lost: {first_line(error)}")
    except OrchError as error:
        return _fail(folder, sender, str(error), error.exit_code)
    except Exception as error:
        traceback.print_exc()
        failure = as_failure(error, str(folder))
        return _fail(folder, sender, str(failure), failure.exit_code)


def _go_on_without(silence: str) -> None:
    warn(f"{silence} The run begins all the same.")


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
    warn(f"{folder.job} was damaged and is rewritten.")
    return None


def begin(folder: RunFolder, attempt: int | None = None) -> None:
    """Say that a driver of a run has begun, and where the record is if that is known."""
    known = remembered_run(folder)
    places = record.places(folder, known) if known else None
    begun = Started(run=folder.name, run_dir=str(folder), mlflow=places, attempt=attempt)
    Events(folder).say(begun)


def connect() -> None:
    """Connect this process to its cluster."""
    import ray

    ray.init(logging_level="WARNING", runtime_env={"env_vars": _cluster_address()})
    signal.signal(signal.SIGTERM, _stop_at_once)  # Ray has put its own way to end in its place


def _cluster_address() -> dict[str, str]:
    """Return the address at which the workers reach their own cluster.

    Without it Ray reads a file that another cluster on this machine may have left behind, and
    waits for that one.
    """
    return {key: os.environ[key] for key in ("RAY_ADDRESS",) if key in os.environ}


def pass_stop_on(folder: RunFolder) -> None:
    """From now on, pass a request to end on to the workers, which save first."""

    def ask(_signal: int, _frame: object) -> None:
        # In a thread: what the signal has interrupted may hold the locks that this needs.
        threading.Thread(target=folder.ask_to_stop).start()

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
            f"{folder.result} is damaged. Remove it; `orch resume` then continues from the "
            "last checkpoint."
        ) from None
    folder.table.write(end.table + "\n")
    return end


def finished(folder: RunFolder, sender: Sender, end: Finished) -> int:
    """Report that the run has finished, with its results; return the exit code."""
    close(folder, sender, "FINISHED")
    Events(folder).say(end)
    return 0


def _end_at_once(folder: RunFolder, sender: Sender | None) -> int:
    """Report how a run ended that was asked to stop before it had workers; return the exit code.

    An earlier driver of it may have been lost after the last step, while it sent the metrics.
    """
    end = end_of(folder)
    return finished(folder, sender or Sender(), end) if end else stopped(folder, sender)


def stopped(folder: RunFolder, sender: Sender | None) -> int:
    """Report that the run was stopped before its end; return the exit code."""
    if sender is not None:
        close(folder, sender, "KILLED")
    tell(folder, Stopped(message=STOPPED))
    return 1


def close(folder: RunFolder, sender: Sender, status: str) -> None:
    """Let the sender bring the record up to date and end; say what it could not do."""
    closing = sender.close(folder, partial(_close_record, folder, status))
    silence = sender.finish()
    if silence or closing.exception():
        sync = f"`orch sync {folder.name}` sends them and says in MLflow how the run ended."
        warn(" ".join(filter(None, (silence, _waiting(folder), sync))))


def _waiting(folder: RunFolder) -> str:
    """Return how many metrics wait in the folder of a run, or in those of a search's trials."""
    try:
        count = sum(Journal(one).waiting() for one in (folder, *SearchFolder(folder).runs()))
    except OSError as error:
        return f"Metrics wait in the run's folder ({error});"
    return f"{count} metrics wait in the run's folder;"


def _close_record(folder: RunFolder, status: str) -> None:
    record.announce(folder, record.sync(folder, status, warn))


def _fail(folder: RunFolder, sender: Sender | None, message: str, exit_code: int) -> int:
    """Report why the run failed; the record says FAILED if it can be reached."""
    if sender is not None:
        close(folder, sender, "FAILED")
    tell(folder, Failed(message=message, exit_code=exit_code))
    return exit_code
