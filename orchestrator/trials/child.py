"""The record of a run of a search, which is opened before its first leg."""

from orchestrator.events import of_trial, warn
from orchestrator.store.run_folder import RunFolder
from orchestrator.track import record
from orchestrator.track.run import TrackedRun, remembered_run
from orchestrator.train import driver


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
