"""Bring to MLflow what waits in a run's journal, from whichever process: sent twice is stored once.

A metric that MLflow does not accept holds up no other: it is kept in a file beside the journal.
"""

from collections.abc import Callable, Sequence
from typing import Any

from orchestrator.run_facts import facts_of
from orchestrator.store.run_folder import RunFolder
from orchestrator.track.journal import Journal, Line, Rejected
from orchestrator.track.run import TrackedRun
from orchestrator.track.server import is_gone, mlflow_client, reason_of
from orchestrator.wording import arithmetic_line

ARITHMETIC_TAG = "orch.arithmetic"
"""The tag that says how a run computes."""
DIFFERS_TAG = "orch.differs"
"""The tag that says how many metrics had other values when their steps were done again."""

PORTION = 25
"""How many lines are sent at a time: some of these make the thousand metrics of a request."""


def deliver(run: TrackedRun, folder: RunFolder, tell: Callable[[str], object]) -> bool:
    """Send a portion of what waits; return whether there may be more.

    tell: is called with a sentence about metrics that are not accepted. Raises RecordGone,
    Unreachable or Refused for what concerns the record as a whole.
    """
    return _deliver(run, folder, tell) is not None


def deliver_all(run: TrackedRun, folder: RunFolder, tell: Callable[[str], object]) -> int:
    """Send all that waits, as `deliver` does a portion of it; return how many were accepted."""
    count = 0
    while (accepted := _deliver(run, folder, tell)) is not None:
        count += accepted
    return count


def _deliver(run: TrackedRun, folder: RunFolder, tell: Callable[[str], object]) -> int | None:
    """Send a portion; return how many metrics were accepted, None where nothing waited."""
    journal = Journal(folder)
    lines, mark = journal.unsent(PORTION)
    if mark == journal.sent():
        return None
    journal.sync()
    metrics = _metrics(lines)
    with mlflow_client(run.uri) as client:
        rejected = _send(client, run.run_id, metrics)
        _set_tags(client, run.run_id, folder, journal)
    journal.reject(rejected)
    if rejected:
        tell(
            f"MLflow did not accept {len(rejected)} metrics ({rejected[0].reason}). They are kept "
            f"in {folder.metrics_rejected}."
        )
    journal.mark_sent(mark)
    return len(metrics) - len(rejected)


def _set_tags(client: Any, run_id: str, folder: RunFolder, journal: Journal) -> None:
    """Say what the workers found out about the run; a restart may find something else."""
    from mlflow.entities import RunTag

    tags = {}
    if how := facts_of(folder).arithmetic:
        tags[ARITHMETIC_TAG] = arithmetic_line(how)
    if count := journal.differing():
        tags[DIFFERS_TAG] = f"{count} metrics had other values when their steps were done again"
    client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])


def _metrics(lines: Sequence[Line]) -> list[Any]:
    from mlflow.entities import Metric

    return [
        Metric(key, value, line.time_ms, line.step)
        for line in lines
        for key, value in line.metrics.items()
    ]


def _send(client: Any, run_id: str, metrics: Sequence[Any]) -> list[Rejected]:
    """Send metrics; return those that are not accepted, which are found by halving."""
    from mlflow.exceptions import MlflowException

    try:
        client.log_batch(run_id, metrics=metrics)
    except MlflowException as error:
        if error.error_code != "INVALID_PARAMETER_VALUE" or is_gone(error):
            raise
        client.get_run(run_id)  # raises if it is not a metric that is wrong
        if len(metrics) == 1:
            [one] = metrics
            return [Rejected(one.step, one.timestamp, {one.key: one.value}, reason_of(str(error)))]
        middle = len(metrics) // 2
        return [
            r for half in (metrics[:middle], metrics[middle:]) for r in _send(client, run_id, half)
        ]
    return []
