"""orch sync: send MLflow what it lacks of a run that has ended, without a cluster."""

import click

from orchestrator.cli.completion import complete_run
from orchestrator.cli.output import answer, say
from orchestrator.errors import UsageError
from orchestrator.runs import registry, trials, view
from orchestrator.runs.record_ends import STATUSES
from orchestrator.runs.view import RunView
from orchestrator.state import is_final
from orchestrator.track.journal import Journal


@click.command()
@click.argument("job_name", metavar="JOB", shell_complete=complete_run)
def sync(job_name: str) -> None:
    """Send MLflow what it lacks of a JOB that has ended, of a search with all its trials.

    Metrics wait in the run's folder when the tracking server could not be reached to the end.

    \b
    Example:
      orch sync last
    """
    seen = view.look(registry.find(job_name))
    if not is_final(seen.state):
        raise UsageError(f"{seen.record.run} is still {seen.state}, and sends its metrics itself.")
    send_the_rest(seen)


def send_the_rest(seen: RunView) -> None:
    """Bring the record of a run that has ended up to date, and say where it is.

    Raises UsageError, Unreachable or Refused.
    """
    from orchestrator.track import record

    folder = seen.record.folder
    count = Journal(folder).waiting()
    tracked = record.sync(folder, STATUSES[seen.state], say)
    if seen.record.is_search:
        count += _send_the_rest_of_trials(seen)
    answer(f"{count} metrics sent; MLflow says {STATUSES[seen.state]}: {tracked.link}")
    if tracked.command:
        answer(f"seen with: {tracked.command}")


def _send_the_rest_of_trials(search: RunView) -> int:
    """Bring the records of a search's trials up to date; return how many metrics were sent."""
    from orchestrator.track import record
    from orchestrator.track.run import remembered_status

    sent = 0
    for folder, state in trials.begun(search.record, search.state):
        count = Journal(folder).waiting()
        if count or remembered_status(folder) == "RUNNING":
            record.sync(folder, STATUSES[state], say)
            sent += count
    return sent
