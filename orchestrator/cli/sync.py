"""orch sync: send MLflow what it lacks of a run that has ended, without a cluster."""

import click

from orchestrator.cli.completion import complete_run
from orchestrator.cli.output import answer, say
from orchestrator.errors import UsageError
from orchestrator.runs import registry, view
from orchestrator.runs.record_ends import STATUSES
from orchestrator.runs.registry import Record
from orchestrator.runs.view import RunView
from orchestrator.state import is_final
from orchestrator.store.search_folder import SearchFolder
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
    if seen.record.is_search:
        check_nothing_trains(seen.record)
    send_the_rest(seen)


def check_nothing_trains(search: Record) -> None:
    """Raise UsageError while a trial of a search that has ended is trained by itself."""
    for trial in map(view.look, registry.trained_alone(search)):
        if not is_final(trial.state):
            raise UsageError(
                f"{trial.record.run} is {trial.state}, by itself; wait for its end "
                f"(`orch wait {trial.record.run}`), or stop it."
            )


def send_the_rest(seen: RunView) -> None:
    """Bring the record of a run that has ended up to date, and say where it is.

    Raises UsageError, Unreachable or Refused.
    """
    from orchestrator.track import record

    folder = seen.record.folder
    count = Journal(folder).waiting()
    tracked = record.sync(folder, STATUSES[seen.state], say)
    record.keep_place(folder, tracked)
    if seen.record.is_search:
        count += _send_the_rest_of_trials(seen.record.search_folder)
    answer(f"{count} metrics sent; MLflow says {STATUSES[seen.state]}: {tracked.link}")
    if tracked.command:
        answer(f"seen with: {tracked.command}")


def _send_the_rest_of_trials(search: SearchFolder) -> int:
    """Bring the page of a search and the records of its trials up to date.

    Returns how many metrics of the trials had to be sent.
    """
    from orchestrator.search import endings
    from orchestrator.track import family

    waiting = sum(Journal(run).waiting() for run in search.runs())
    endings.close_all(search, say)
    family.show(search)
    return waiting - sum(Journal(run).waiting() for run in search.runs())
