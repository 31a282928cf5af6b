"""Removes what a run no longer needs. Trouble with that ends no run: all that it needs is there."""

from collections.abc import Callable

from orchestrator.events import warn
from orchestrator.store.run_folder import RunFolder

_untidy: set[str] = set()
"""The runs whose folders keep what could not be removed."""


def tidy(run: RunFolder, remove: Callable[[], None]) -> None:
    """Remove what `remove` does, and what could not be removed before.

    Trouble is a warning, once until all is removed.
    """
    try:
        remove()
        if str(run) in _untidy:
            run.sweep()
    except OSError as error:
        if str(run) not in _untidy:
            warn(
                f"{run}: checkpoints that are no longer needed cannot be removed: {error}. "
                "Training goes on; the next checkpoint and orch resume try again."
            )
        _untidy.add(str(run))
    else:
        _untidy.discard(str(run))
