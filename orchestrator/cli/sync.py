"""orch sync: send MLflow what it lacks of a run that has ended, without a cluster."""

import click

from orchestrator.cli.completion import complete_run
from orchestrator.cli.output import answer, say
from orchestrator.errors import UsageError
from orchestrator.runs import registry, trials, view
from orchestrator.runs.record_ends import STATUSES
from orchestrator.runs.registry import Record
from orchestrator.runs.view import RunView
from orchestrator.state import State, is_final
from orchestrator.store.search_folder import SearchFolder


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

    Raises UsageError, also for a search whose journal is damaged, once all else is sent;
    Unreachable or Refused.
    """
    from orchestrator.track import record

    folder = seen.record.folder
    if not folder.is_there():
        raise UsageError(f"{seen.record.run} has no folder, {folder}: there is nothing to send.")
    tracked, count = record.send(folder, STATUSES[seen.state], say)
    record.keep_place(folder, tracked)
    if seen.record.is_search:
        count += _send_the_rest_of_trials(seen.record.search_folder)
    answer(f"{count} metrics sent; MLflow says {STATUSES[seen.state]}: {tracked.link}")
    if tracked.command:
        answer(f"seen with: {tracked.command}")
    if seen.record.is_search:
        _check_journal(seen)


def _check_journal(search: RunView) -> None:
    """Raise UsageError if the journal that says how the trials of a search ended is damaged."""
    record = search.record
    damage = trials.damage(record, trials.standing_of(record))
    if not damage:
        return
    more = " --set search.trials=N" if search.state is State.SUCCEEDED else ""
    raise UsageError(
        f"{damage}: MLflow has the metrics of all trials, but how they ended is not known, and "
        f"those whose end it was not told are KILLED there. `orch resume {record.run}{more}` "
        "writes a damaged first line again; of a journal that is gone, put a copy back. Then "
        f"`orch sync {record.run}` says how they ended."
    )


def _send_the_rest_of_trials(search: SearchFolder) -> int:
    """Bring the page of a search and the records of its trials up to date.

    Returns how many metrics of the trials were sent.
    """
    from orchestrator.search import endings
    from orchestrator.track import family

    count = endings.close_all(search, say)
    family.show(search)
    return count
