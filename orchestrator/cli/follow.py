"""orch list, status, logs, wait, stop, down: what runs do, and ending them."""

import time
from collections.abc import Iterator
from pathlib import Path

import click

from orchestrator.cli import attach
from orchestrator.cli.completion import complete_run
from orchestrator.cli.links import as_dict, conclusion, link_lines
from orchestrator.cli.output import answer, answer_json, say
from orchestrator.cluster import address as addresses
from orchestrator.cluster import events, local, registry, runtime, tail, view
from orchestrator.cluster.client import ClusterClient
from orchestrator.cluster.events import by_bits, duration
from orchestrator.cluster.registry import Record
from orchestrator.cluster.state import State, is_final
from orchestrator.cluster.view import RunView
from orchestrator.errors import Unreachable, UsageError
from orchestrator.strict_json import dumps

WATCH_SECONDS = 2.0
POLL_SECONDS = 1.0
STOP_GRACE_SECONDS = 15.0
"""What a cluster may take to notice that a job has ended, beyond the job's own time."""
COLUMNS = ("RUN", "STATE", "PROGRESS", "RESULT", "SUBMITTED", "WHERE")

_job = click.argument("job_name", metavar="JOB", shell_complete=complete_run)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.command("list")
@click.option("-w", "--watch", is_flag=True, help="Show the list anew every two seconds.")
@click.option("--address", metavar="URL", help="Also show what others sent to this cluster.")
@click.option(
    "-n",
    "--number",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="How many runs to show.",
)
@_json
def list_runs(watch: bool, address: str | None, number: int, as_json: bool) -> None:
    """List the runs, the latest first.

    \b
    Examples:
      orch list -w
      orch list --address http://10.0.0.5:8265 --json
    """
    url = addresses.dashboard_url(address) if address else None
    if watch and not as_json:
        _watch(url, number)
        return
    views = _views(url, number)
    if as_json:
        answer_json([as_dict(seen) for seen in views])
    elif views:
        _print_list(views)
    else:
        say("No runs yet. `orch submit FILE` starts one.")


@click.command()
@_job
@_json
def status(job_name: str, as_json: bool) -> None:
    """Tell how a JOB is doing: state, progress, results, links.

    \b
    Examples:
      orch status last
      orch status quickstart --json
    """
    seen = view.look(registry.find(job_name))
    if as_json:
        answer_json(as_dict(seen))
        return
    answer(f"{seen.state}  {seen.record.run}" + (f"  ({seen.note})" if seen.note else ""))
    for line in _standing(seen):
        answer(line)
    answer("")
    for line in link_lines(seen):
        answer(line)
    for number, attempt in enumerate(seen.record.attempts, 1):
        began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(attempt.submitted_at))
        answer(f"{f'attempt {number}:':<15}{attempt.submission_id}, submitted {began}")


@click.command()
@_job
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends.")
@click.option("--events", "raw", is_flag=True, help="Print the job's events as they are, JSON.")
def logs(job_name: str, follow: bool, raw: bool) -> None:
    """Print the log of a JOB.

    \b
    Examples:
      orch logs last -f
      orch logs quickstart --events
    """
    record = registry.find(job_name)
    if not follow:
        for line in _whole_log(record).splitlines():
            _print_line(line, raw)
        return
    client = view.client_of(record)
    if client is None:
        for line in _whole_log(record).splitlines():
            _print_line(line, raw)
        return
    trouble = ""
    try:
        for look in tail.follow(client, record.last.submission_id):
            for line in look.lines:
                _print_line(line, raw)
            if look.trouble and look.trouble != trouble:
                say(look.trouble)
            trouble = look.trouble
    except KeyboardInterrupt:
        say(f"\n{record.run} goes on; `orch logs -f {record.run}` attaches again.")
        raise
    ended = view.look(record)
    say(f"{ended.state}  {record.run}")
    attach.tidy(record)


@click.command()
@_job
@click.option("--timeout", type=click.FloatRange(min=0), help="Give up after so many seconds.")
@_json
def wait(job_name: str, timeout: float | None, as_json: bool) -> None:
    """Wait until a JOB has ended; the exit code says how.

    \b
    Example:
      orch wait last && echo done
    """
    record = registry.find(job_name)
    seen = _wait(record, timeout)
    if not is_final(seen.state):
        raise UsageError(f"{record.run} is still {seen.state} after {duration(timeout)}.")
    if as_json:
        answer_json(as_dict(seen))
    code = attach.conclude(seen, quiet=as_json)
    raise click.exceptions.Exit(code)


@click.command()
@_job
@_json
def stop(job_name: str, as_json: bool) -> None:
    """Ask a JOB to save its state and end.

    \b
    Example:
      orch stop last
    """
    record = registry.find(job_name)
    seen = view.look(record)
    if not is_final(seen.state):
        client = view.client_of(record)
        assert client is not None
        client.stop(record.last.submission_id)
        say(f"Asked {record.run} to save its state and end ...")
        seen = _wait(record, runtime.STOP_WAIT_SECONDS + STOP_GRACE_SECONDS)
        if not is_final(seen.state):
            raise Unreachable(
                f"{record.run} is still {seen.state}. `orch logs {record.run}` may tell why."
            )
    if as_json:
        answer_json(as_dict(seen))
    else:
        answer("\n".join(conclusion(seen)) or str(seen.state))
    attach.tidy(record)


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask, even if jobs are active.")
def down(yes: bool) -> None:
    """Stop the local Ray cluster that orch started, and nothing else.

    \b
    Example:
      orch down --yes
    """
    head = local.running()
    if head and (active := local.active_jobs(head)):
        names = ", ".join(registry.run_of(job.submission_id) for job in active)
        if not yes:
            click.confirm(f"Active: {names}. Stop them (they save their state)?", abort=True)
        _stop_all(ClusterClient(head.url), [job.submission_id for job in active])
    with local.locked():
        orphans = local.stop_orphans()
        head = local.running()
        if head:
            local.stop(head)
    if head or orphans:
        answer("The local Ray cluster was stopped.")
    else:
        answer("No local Ray cluster is running.")


def _views(url: str | None, number: int) -> list[RunView]:
    views = view.look_all(registry.load_all()[:number])
    return views + (view.strangers(url) if url else [])


def _watch(url: str | None, number: int) -> None:
    from rich.live import Live

    from orchestrator.cli.output import console, table

    with Live(console=console(), auto_refresh=False) as live:
        while True:
            live.update(table(COLUMNS, map(_row, _views(url, number))), refresh=True)
            time.sleep(WATCH_SECONDS)


def _print_list(views: list[RunView]) -> None:
    from orchestrator.cli.output import print_table

    print_table(COLUMNS, map(_row, views))
    for note in dict.fromkeys(f"{seen.record.run}: {seen.note}" for seen in views if seen.note):
        say(note)


def _row(seen: RunView) -> tuple[str, ...]:
    age = duration(time.time() - seen.record.last.submitted_at)
    where = "local" if seen.record.local else seen.record.address
    return (seen.record.run, str(seen.state), _progress(seen), _result(seen), f"{age} ago", where)


def _progress(seen: RunView) -> str:
    told = seen.facts.get("progress")
    if not told or seen.state is State.PENDING:
        return ""
    text = f"{told['epoch'] + 1}/{told['epochs']}"
    if seen.state is State.RUNNING:
        text += f" step {told['step']}/{told['steps']} ETA {duration(told['eta_seconds'])}"
    return text


def _result(seen: RunView) -> str:
    told = seen.facts.get("evaluated")
    return f"{told['metric_name']} {by_bits(told['metric'])}" if told else ""


def _standing(seen: RunView) -> Iterator[str]:
    """Yield where a run stands: its end, or its progress and its last evaluation."""
    if seen.state is State.SUCCEEDED:
        yield from conclusion(seen)
        return
    if told := seen.facts.get("progress"):
        yield events.progress_line(told)
    if told := seen.facts.get("evaluated"):
        yield from events.describe({**told, "event": "evaluated"})
    if is_final(seen.state):
        yield from conclusion(seen)


def _print_line(line: str, raw: bool) -> None:
    event = events.parse(line)
    if raw:
        if event:
            answer(dumps(event))
        return
    for shown in events.describe(event) if event else [line]:
        answer(shown)


def _whole_log(record: Record) -> str:
    """Return the log from the cluster, or as it was kept when the local head was stopped."""
    client = view.client_of(record)
    text = client.logs(record.last.submission_id) if client else ""
    kept = local.kept_log(record.last.submission_id)
    if text or not kept.exists():
        return text
    return Path(kept).read_text()


def _wait(record: Record, timeout: float | None) -> RunView:
    """Look at a run until it has ended or the time is over; a silent cluster has some patience."""
    end = time.monotonic() + timeout if timeout is not None else float("inf")
    silent_since: float | None = None
    while True:
        seen = view.look(record)
        now = time.monotonic()
        if is_final(seen.state) or now >= end:
            return seen
        if view.SILENT not in seen.note:
            silent_since = None
        elif silent_since is None:
            silent_since = now
        elif now - silent_since > tail.PATIENCE_SECONDS:
            raise Unreachable(f"The cluster at {record.address} does not answer any more.")
        time.sleep(min(POLL_SECONDS, max(0.0, end - now)))


def _stop_all(client: ClusterClient, submission_ids: list[str]) -> None:
    for submission_id in submission_ids:
        client.stop(submission_id)
    end = time.monotonic() + runtime.STOP_WAIT_SECONDS + STOP_GRACE_SECONDS
    known = {record.last.submission_id: record for record in registry.load_all()}
    for submission_id in submission_ids:
        while time.monotonic() < end:
            info = client.job(submission_id)
            if info is None or is_final(info.state):
                break
            time.sleep(POLL_SECONDS)
        if submission_id in known:
            seen = view.look(known[submission_id])
            say(f"{seen.state}  {seen.record.run}")
