"""How often lost workers are restarted: counted since the run last made progress.

Ray Train asks this policy, in its controller, after every failure. Its own would count over the
whole run, would retry errors in the code just the same, and would start workers that crash at their
start for ever.
"""

from collections.abc import Mapping

from ray.exceptions import RayActorError
from ray.train import ControllerError, FailureConfig, TrainingFailedError
from ray.train.v2._internal.exceptions import (
    WorkerGroupStartupFailedError,
    WorkerGroupStartupTimeoutError,
)
from ray.train.v2._internal.execution.failure_handling import FailureDecision, FailurePolicy
from ray.train.v2.api.exceptions import WorkerGroupError

from orchestrator import handover
from orchestrator.errors import JobFailed
from orchestrator.store.run_folder import RunFolder
from orchestrator.train.entry import Left
from orchestrator.train.losses import Losses
from orchestrator.train.ranks import LostRank
from orchestrator.train.why_lost import cause, why_lost, why_lost_at_start


class Patience(FailurePolicy):  # type: ignore[misc]
    """Ends the run at an error in its code, or after too many losses without a new checkpoint."""

    def __init__(self, run: str, folder: RunFolder, max_failures: int) -> None:
        super().__init__(FailureConfig(max_failures=max_failures))
        self._losses = Losses(run, folder, max_failures)

    def make_decision(self, training_failed_error: TrainingFailedError) -> FailureDecision:
        """Return whether the workers are started again; if not, what to report is in the error.

        Raises ControllerError, about which Ray Train then asks, to report it in the place of an
        error of the workers.
        """
        handover.take_up()  # the controller is a process of its own
        if isinstance(training_failed_error, WorkerGroupError):
            return self._after_work(training_failed_error.worker_failures)
        if isinstance(training_failed_error, ControllerError):
            return self._at_start(training_failed_error)
        return FailureDecision.RAISE

    def _after_work(self, errors: Mapping[int, Exception]) -> FailureDecision:
        """Judge the errors of workers by rank. Those that have left on request are no loss."""
        if any(isinstance(error, Left) for error in errors.values()):
            return FailureDecision.RETRY
        ended = cause(errors) or self._lose(why_lost(errors))
        if ended:
            raise ControllerError(ended)
        return FailureDecision.RETRY

    def _at_start(self, error: ControllerError) -> FailureDecision:
        """Judge an error from the start of workers. Room is waited for without end."""
        failure = error.controller_failure
        if isinstance(failure, WorkerGroupStartupTimeoutError):
            return FailureDecision.RETRY
        if not isinstance(failure, WorkerGroupStartupFailedError | RayActorError | LostRank):
            return FailureDecision.RAISE
        lost = failure.__cause__ if isinstance(failure.__cause__, RayActorError) else failure
        if ended := self._lose(why_lost_at_start(lost)):
            error.controller_failure = ended
            return FailureDecision.RAISE
        return FailureDecision.RETRY

    def _lose(self, reason: str) -> JobFailed | None:
        """Report a loss; return what ends the run when there were too many."""
        try:
            self._losses.add(reason)
        except JobFailed as ended:
            return ended
        return None
