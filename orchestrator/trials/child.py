"""The record of a run of a search: opened before its first leg, closed when its trial has ended."""

from orchestrator.events import of_trial, warn
from orchestrator.search.records import Ended, TrialState
from orchestrator.store.run_folder import RunFolder
from orchestrator.track import family, record
from orchestrator.track.run import (
    TrackedRun,
    remember_end,
    remembered_end,
    remembered_run,
    remembered_status,
)
from orchestrator.train import driver

_STATUS = {TrialState.FINISHED: "FINISHED", TrialState.FAILED: "FAILED"}


def open_record(folder: RunFolder, run: str) -> TrackedRun:
    """Open the record of a run, or set it running again, and say where it is.

    run: such as t007. Raises Unreachable and Refused as the tracking server does.
    """
    with of_trial(run):
        tracked = record.begin_record(folder, warn)
        driver.announce(folder, tracked)
    return tracked


def describe_record(folder: RunFolder, run: str) -> None:
    """Store what a run was given, which nobody waits for, in the record that is open."""
    tracked = remembered_run(folder)
    if tracked is not None:
        with of_trial(run):
            record.describe_record(folder, tracked)


def close_record(folder: RunFolder, run: str, end: Ended, value: float | None) -> None:
    """Close the record of a run whose trial has ended, unless that was done or it never had one.

    A status alone does not say that it was: whoever looks at a search whose driver was killed
    closes all its records. value: what the run itself reached. Raises Unreachable and Refused as
    the tracking server does.
    """
    if remembered_end(folder) is not None or not folder.job.exists():
        return
    with of_trial(run):
        tracked = record.sync(folder, _STATUS.get(end.state, "KILLED"), warn)
    family.mark_end(tracked, _how(end), end.time, end.step, value)
    remember_end(folder, _how(end))


def interrupt_record(folder: RunFolder, run: str) -> None:
    """Close the record of a run that will be continued with its search."""
    if remembered_status(folder) == "RUNNING":
        with of_trial(run):
            record.sync(folder, "KILLED", warn)


def _how(end: Ended) -> str:
    """Return "stopped early after epoch 3, step 120: 41.2 < 43.0, asha"."""
    reached = f" after epoch {end.epoch}, step {end.step}" if end.epoch else ""
    return f"{end.state.value}{reached}" + (f": {end.reason}" if end.reason else "")
