"""orch logs: print or follow the log of a job."""

from collections.abc import Callable
from typing import TypeVar

import click

from orchestrator.cli import follow as following
from orchestrator.cli import rank_logs
from orchestrator.cli.completion import complete_run
from orchestrator.cli.output import answer, say
from orchestrator.cli.summary import ways_on
from orchestrator.cli.trial_logs import TrialEvents, events_of, printer
from orchestrator.cluster import local, tail
from orchestrator.cluster.client import ClusterClient
from orchestrator.errors import UsageError
from orchestrator.events import Event, TrialEnded, parse, read, to_json
from orchestrator.runs import registry, view
from orchestrator.runs.rank_lines import Note
from orchestrator.runs.registry import Record
from orchestrator.state import exit_code
from orchestrator.wording import describe

T = TypeVar("T")

_job = click.argument("job_name", metavar="JOB", shell_complete=complete_run)


@click.command()
@_job
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends.")
@click.option("--events", "raw", is_flag=True, help="Print the job's events as they are, JSON.")
@click.option(
    "--rank",
    type=click.IntRange(min=0),
    help="Print what one rank prints, whichever process on whichever node has it.",
)
def logs(job_name: str, follow: bool, raw: bool, rank: int | None) -> None:
    """Print the log of a JOB. With -f, the exit code says how the job ended.

    \b
    Examples:
      orch logs last -f
      orch logs quickstart --events
      orch logs search_lambda_p1_alpha.t007     one trial of a search
      orch logs last --rank 1 -f                its own output, which Ray keeps on its node
    """
    record = registry.find(job_name)
    client = _client_of(record)
    if rank is not None:
        if raw:
            raise UsageError("--rank prints lines and --events the job's events; leave one out.")
        _rank_log(record, client, rank, follow)
    elif record.within:
        _trial_log(record, client, follow, raw)
    elif follow and client is not None:
        submission_id = record.last.submission_id
        if raw:
            _print_as_it_grows(record, tail.JobEvents(client, submission_id), _print_event)
        else:
            _print_as_it_grows(record, tail.LogLines(client, submission_id), _print_line)
    elif raw:
        for event in _all_events(record, client):
            _print_event(event)
    else:
        for line in _whole_log(record, client).splitlines():
            _print_line(line)
    if follow:
        ended = view.look(record)
        say(f"{ended.state}  {record.run}")
        following.tidy(record)
        raise click.exceptions.Exit(exit_code(ended.state, ended.exit_code))


def _client_of(record: Record) -> ClusterClient | None:
    """Return a client of the run's cluster; for a local one that has died, save its logs first."""
    client = view.client_of(record)
    if client is None:
        local.keep_logs()
    return client


def _rank_log(record: Record, client: ClusterClient | None, number: int, follow: bool) -> None:
    """Print what the processes of a rank have printed, and follow them until the job ends."""
    if client is None:
        raise UsageError(
            f"The output of single ranks went with the local cluster that {record.run} ran on; "
            f"`orch logs {record.run}` has the log of the job."
        )
    if follow:
        reader = rank_logs.reader(record, client, number)
        _print_as_it_grows(record, reader, _print_piece, lambda it: isinstance(it, TrialEnded))
    else:
        for piece in rank_logs.printed(record, client, number):
            _print_piece(piece)


def _trial_log(record: Record, client: ClusterClient | None, follow: bool, raw: bool) -> None:
    """Print what a trial has said, and follow it until it ends."""
    show = printer(record.within, raw=raw)
    if not follow or client is None:
        for event in events_of(_all_events(record, client), record.within):
            show(event)
        return
    reader = TrialEvents(client, record.last.submission_id, record.within)
    _print_as_it_grows(record, reader, show, lambda event: isinstance(event, TrialEnded))


def _print_as_it_grows(
    record: Record,
    reader: tail.Reader[T],
    show: Callable[[T], None],
    is_last: Callable[[T], bool] = lambda _: False,
) -> None:
    """Print the pieces of a log as they come, until the last one or the end of the job.

    What a local head took with it that has ended meanwhile is missing: that is said.
    """
    trouble = ""
    try:
        for look in following.looks(record, reader):
            for piece in look.new:
                show(piece)
            if any(map(is_last, look.new)):
                return
            if look.trouble and look.trouble != trouble:
                say(look.trouble)
            trouble = look.trouble
    except KeyboardInterrupt:
        say(f"\n{record.run} continues without you: {ways_on(record.run)}")
        raise
    if trouble:
        say(
            "The local cluster has ended meanwhile; what was said last may be missing here: "
            f"`orch logs {record.run}` prints what is kept."
        )


def _print_line(line: str) -> None:
    """Print a line of a log; older jobs left their events in it."""
    event = parse(line)
    for shown in describe(event) if event else [line]:
        answer(shown)


def _print_piece(piece: rank_logs.Piece) -> None:
    """Print a line of a rank; what is said of the lines goes to standard error."""
    match piece:
        case Note():
            say(piece.text)
        case str():
            _print_line(piece)


def _print_event(event: Event) -> None:
    answer(to_json(event))


def _whole_log(record: Record, client: ClusterClient | None) -> str:
    """Return the log from the cluster, or the copy of what a local head had that has ended."""
    if client and (text := client.logs(record.last.submission_id)):
        return text
    kept = local.kept_log(record.last.submission_id)
    if kept.exists():
        return kept.read_text(errors="replace")
    if client is None:
        say(f"The log of {record.run} went with the local cluster that it ran on.")
    return ""


def _all_events(record: Record, client: ClusterClient | None) -> list[Event]:
    """Return all events of a job, from the cluster or from the copy."""
    submission_id = record.last.submission_id
    if client and (info := client.job(submission_id)):
        return tail.JobEvents(client, submission_id).read(info)
    kept = local.kept_events(submission_id)
    if kept.exists():
        found = map(read, kept.read_text().splitlines())
    else:
        found = map(parse, _whole_log(record, client).splitlines())
    return [event for event in found if event]
