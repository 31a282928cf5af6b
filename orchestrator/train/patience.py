"""How often lost workers are restarted: counted since the run last made progress.

Ray Train would count over the whole run, and would retry errors in the code just the same. It asks
this callback, in its controller, after every failure; an exception raised here ends the run.
"""

from typing import Any

from ray.train import ControllerError, UserCallback

from orchestrator import handover
from orchestrator.errors import OrchError
from orchestrator.store.run_folder import RunFolder
from orchestrator.train.entry import Left
from orchestrator.train.losses import Losses
from orchestrator.train.why_lost import cause, why_lost


class Patience(UserCallback):  # type: ignore[misc]
    """Ends the run at an error in its code, or after too many losses without a new checkpoint."""

    def __init__(self, run: str, folder: RunFolder, max_failures: int) -> None:
        self._losses = Losses(run, folder, max_failures)

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Raise ControllerError, which Ray Train does not retry, or let it restart the workers.

        Workers that have left on request are no loss.
        """
        handover.take_up()  # the controller is a process of its own
        if any(isinstance(error, Left) for error in worker_exceptions.values()):
            return
        if named := cause(worker_exceptions):
            raise ControllerError(named)
        try:
            self._losses.add(why_lost(worker_exceptions))
        except OrchError as error:
            raise ControllerError(error) from error
