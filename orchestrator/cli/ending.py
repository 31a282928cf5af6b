"""orch stop, orch down: end a job, or the local cluster."""

import time

import click

from orchestrator.cli import follow, wait
from orchestrator.cli.completion import complete_run
from orchestrator.cli.output import answer, answer_json, say
from orchestrator.cli.summary import as_dict, conclusion
from orchestrator.cluster import local, runtime
from orchestrator.cluster.client import ClusterClient, JobInfo
from orchestrator.cluster.local import Head
from orchestrator.errors import Unreachable
from orchestrator.runs import registry, stop_trial, view
from orchestrator.runs.registry import Record
from orchestrator.search.records import trial_of
from orchestrator.state import is_final
from orchestrator.wording import clock

STOP_GRACE_SECONDS = 15.0
"""How long a cluster may take to notice the end of a job, in addition to the job's own time."""

_job = click.argument("job_name", metavar="JOB", shell_complete=complete_run)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.command()
@_job
@_json
def stop(job_name: str, as_json: bool) -> None:
    """Ask a JOB to save its state and end; of a search, all of it or one trial.

    \b
    Examples:
      orch stop last
      orch stop search_lambda_p1_alpha.t007
    """
    record = registry.find(job_name)
    seen = view.look(record)
    if record.within and not is_final(seen.state):
        _stop_trial(record)
        if as_json:
            answer_json(as_dict(seen))
        return
    if is_final(seen.state):
        when = f" at {clock(seen.ended)}" if seen.ended else ""
        say(f"{record.run} had already ended{when}: {seen.note if seen.trial else seen.state}.")
    else:
        client = view.client_of(record)
        assert client is not None
        client.stop(record.last.submission_id)
        say(f"Asked {record.run} to save its state and end ...")
        seen = wait.wait_until_ended(record, runtime.STOP_WAIT_SECONDS + STOP_GRACE_SECONDS)
        if not is_final(seen.state):
            raise Unreachable(
                f"{record.run} is still {seen.state}. `orch logs {record.run}` may say why."
            )
    if as_json:
        answer_json(as_dict(seen))
    else:
        answer("\n".join(conclusion(seen)) or str(seen.state))
    follow.tidy(record)


def _stop_trial(record: Record) -> None:
    trial = trial_of(record.within)
    client = view.client_of(record)
    assert client is not None
    stop_trial.ask_to_stop(registry.find(record.search), trial, client)
    say(f"{trial} saves and ends at its next step; the search goes on.")


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask, even if jobs are active.")
def down(yes: bool) -> None:
    """Stop the local Ray cluster that orch started, and nothing else.

    \b
    Example:
      orch down --yes
    """
    ended: set[str] = set()
    answers = _end_jobs("Active", ended, yes)
    with local.locked():  # a job may have been submitted meanwhile, and now none can be
        _end_jobs("Also active", ended, yes or not answers, told=not answers)
        stopped = local.stop_all()
    if stopped:
        answer("The local Ray cluster was stopped.")
    else:
        answer("No local Ray cluster is running.")


def _end_jobs(which: str, ended: set[str], yes: bool, *, told: bool = False) -> bool:
    """Let the jobs of the local head save their state and end, if the user agrees.

    which: what the user is told of them. ended: the submissions that were asked to end, which are
    not asked again; it is added to. told: the user knows that the head does not answer.
    Returns whether it does.
    """
    try:
        head = local.running()
        active = _active(head, yes) if head else []
        if head and (new := [job for job in active if job.submission_id not in ended]):
            names = ", ".join(registry.run_of(job.submission_id) for job in new)
            if yes:
                say(f"{which}: {names}. Asked to save their state and end ...")
            else:
                click.confirm(f"{which}: {names}. Stop them (they save their state)?", abort=True)
            _stop_all(head.client(), [job.submission_id for job in new], ended)
        view.settle_jobs_of_head()
    except Unreachable as error:
        if not told:
            say(f"{error}\nIt is stopped anyway; what its jobs have saved is kept.")
        return False
    return True


def _active(head: Head, yes: bool) -> list[JobInfo]:
    """Return the active jobs of the local head; one that does not say them is ended if agreed.

    Raises Unreachable then.
    """
    try:
        return local.active_jobs(head)
    except Unreachable:
        if not yes and local.running():
            click.confirm(
                "The local cluster does not answer. Its jobs may go on, and may not save their "
                "state when it ends. Stop it?",
                abort=True,
            )
        raise


def _stop_all(client: ClusterClient, submission_ids: list[str], ended: set[str]) -> None:
    for submission_id in submission_ids:
        client.stop(submission_id)
        ended.add(submission_id)
    end = time.monotonic() + runtime.STOP_WAIT_SECONDS + STOP_GRACE_SECONDS
    known = {record.last.submission_id: record for record in registry.load_all()}
    for submission_id in submission_ids:
        while time.monotonic() < end:
            info = client.job(submission_id)
            if info is None or is_final(info.state):
                break
            time.sleep(wait.POLL_SECONDS)
        if submission_id in known:
            seen = view.look(known[submission_id])
            say(f"{seen.state}  {seen.record.run}")
