"""What a worker, its threads and its loader processes wait for stands in the log of its run."""

from functools import partial

from orchestrator.events import of_trial, trial, warn
from orchestrator.outage import Telling, tell
from orchestrator.store.run_folder import RunFolder


def tell_waits(folder: RunFolder) -> None:
    """Let this process say that it waits for a storage, as an event of this thread's run."""
    tell(telling_for(folder))


def telling_for(folder: RunFolder) -> Telling:
    """Return what speaks for the run in a folder, in any thread or process."""
    return Telling(str(folder), partial(_warn, trial()))


def _warn(run: str | None, message: str) -> None:
    with of_trial(run):
        warn(message)
