"""orch wait: wait until a job has ended."""

import time

import click

from orchestrator.cli import follow
from orchestrator.cli.completion import complete_run
from orchestrator.cli.numbers import Finite
from orchestrator.cli.output import answer_json
from orchestrator.cli.summary import as_dict
from orchestrator.cluster import tail
from orchestrator.errors import Unreachable, UsageError
from orchestrator.runs import registry, view
from orchestrator.runs.registry import Record
from orchestrator.runs.view import RunView
from orchestrator.state import is_final
from orchestrator.wording import duration

POLL_SECONDS = 1.0


@click.command()
@click.argument("job_name", metavar="JOB", shell_complete=complete_run)
@click.option("--timeout", type=Finite(min=0), help="Give up after so many seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def wait(job_name: str, timeout: float | None, as_json: bool) -> None:
    """Wait until a JOB has ended; the exit code says how.

    \b
    Example:
      orch wait last && echo done
    """
    record = registry.find(job_name)
    seen = wait_until_ended(record, timeout)
    if not is_final(seen.state):
        raise UsageError(f"{record.run} is still {seen.state} after {duration(timeout)}.")
    if as_json:
        answer_json(as_dict(seen))
    code = follow.conclude(seen, quiet=as_json)
    follow.tidy(record)
    raise click.exceptions.Exit(code)


def wait_until_ended(record: Record, timeout: float | None) -> RunView:
    """Poll a run until it has ended or the time is up; a silent cluster is given some time."""
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
            raise Unreachable(f"The cluster at {record.address} no longer answers.")
        time.sleep(min(POLL_SECONDS, max(0.0, end - now)))
