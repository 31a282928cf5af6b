"""orch list, orch status: the states of runs."""

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

import click

from orchestrator.cli import search_view
from orchestrator.cli.completion import complete_run
from orchestrator.cli.links import link_lines
from orchestrator.cli.output import answer, answer_json, say, without_end, without_middle
from orchestrator.cli.summary import as_dict, conclusion
from orchestrator.cluster import address as addresses
from orchestrator.errors import UsageError
from orchestrator.events import Progress
from orchestrator.run_facts import RunFacts
from orchestrator.runs import registry, view
from orchestrator.runs.delay import is_late, silence
from orchestrator.runs.view import RunView
from orchestrator.state import State, is_final
from orchestrator.wording import (
    arithmetic_line,
    by_point,
    clock,
    describe,
    duration,
    progress_line,
    settings_line,
)

if TYPE_CHECKING:
    from rich.table import Table

WATCH_SECONDS = 2.0
COLUMNS = ("RUN", "STATE", "PROGRESS", "RESULT", "SUBMITTED", "WHERE")
EXPENDABLE = ("WHERE", "SUBMITTED")
"""Columns that a narrow list leaves out, in this order."""

_job = click.argument("job_name", metavar="JOB", shell_complete=complete_run)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.command("list")
@click.option("-w", "--watch", is_flag=True, help="Refresh the list every two seconds.")
@click.option(
    "--address", metavar="URL", help="Also list the jobs that others sent to this cluster."
)
@click.option(
    "-n",
    "--number",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="How many runs to list.",
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
    if watch and as_json:
        raise UsageError("--watch is for people, --json for programs; leave out one of them.")
    if watch:
        _watch(url, number)
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
    """Print the state, progress, results and links of a JOB.

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
    if seen.facts.arithmetic:
        answer(f"{'arithmetic:':<15}{arithmetic_line(seen.facts.arithmetic)}")
    for number, attempt in enumerate(seen.record.attempts, 1):
        began = clock(attempt.submitted_at)
        answer(f"{f'attempt {number}:':<15}{attempt.submission_id}, submitted {began}")


def _views(url: str | None, number: int) -> list[RunView]:
    views = view.look_all(registry.load_all()[:number])
    return views + (view.unknown_jobs(url) if url else [])


def _watch(url: str | None, number: int) -> None:
    """Refresh the list forever: in place on a terminal, elsewhere one below the other."""
    from rich.live import Live

    from orchestrator.cli.output import console, moves

    shown = console()
    if not moves(shown):
        _watch_changes(url, number)
    with Live(console=shown, auto_refresh=False) as live:
        while True:
            live.update(fitting(_views(url, number), shown.width), refresh=True)
            time.sleep(WATCH_SECONDS)


def _watch_changes(url: str | None, number: int) -> NoReturn:
    """Print the list whenever a state or a result has changed."""
    before: list[tuple[str, State, str]] | None = None
    while True:
        views = _views(url, number)
        now = [(seen.record.run, seen.state, _result(seen)) for seen in views]
        if now != before:
            _print_list(views)
            answer("")
            sys.stdout.flush()
        before = now
        time.sleep(WATCH_SECONDS)


def _print_list(views: list[RunView]) -> None:
    from orchestrator.cli.output import console

    shown = console()
    shown.print(fitting(views, shown.width))
    for note in dict.fromkeys(f"{seen.record.run}: {seen.note}" for seen in views if seen.note):
        say(note)


def fitting(views: list[RunView], width: int) -> "Table":
    """Return the list as a table no wider than `width`, if possible.

    First columns are left out, then steps; then results are cut, and finally the middle of names.
    """
    from orchestrator.cli.output import table

    columns, brief = list(COLUMNS), False
    for dispensable in EXPENDABLE:
        if _excess(_rows(views, columns), width) > 0:
            columns.remove(dispensable)
    if _excess(_rows(views, columns), width) > 0:
        brief = True
    rows = _rows(views, columns, brief=brief)
    for name, shorten, least in (("RESULT", without_end, 19), ("RUN", without_middle, 9)):
        longest = max(len(row[name]) for row in rows)
        room = max(least, longest - max(0, _excess(rows, width)))
        for row in rows[1:]:
            row[name] = shorten(row[name], room)
    return table(columns, [tuple(row.values()) for row in rows[1:]])


def _rows(views: list[RunView], columns: list[str], *, brief: bool = False) -> list[dict[str, str]]:
    """Return the headers and the rows of the list, by column."""
    rows = [dict(zip(COLUMNS, _row(seen, brief), strict=True)) for seen in views]
    return [{name: row[name] for name in columns} for row in [{n: n for n in COLUMNS}, *rows]]


def _excess(rows: list[dict[str, str]], width: int) -> int:
    """Return by how many characters the table is too wide."""
    from orchestrator.cli.output import GAP

    widest = [max(len(row[name]) for row in rows) for name in rows[0]]
    return sum(widest) + GAP * (len(widest) - 1) - width


def _row(seen: RunView, brief: bool) -> tuple[str, ...]:
    age = duration(time.time() - seen.record.last.submitted_at)
    where = "local" if seen.record.local else seen.record.address
    progress = _progress(seen, brief=brief)
    return (seen.record.run, str(seen.state), progress, _result(seen), f"{age} ago", where)


def _progress(seen: RunView, *, brief: bool) -> str:
    if seen.facts.searching:
        return search_view.progress(seen, seen.facts.searching)
    at = seen.facts.progress
    if not at or seen.state is State.PENDING:
        return ""
    text = f"phase {at.phase + 1}/{at.phases} " if at.phases > 1 else ""
    text += f"{at.epoch + 1}/{at.epochs}"
    if seen.state is State.RUNNING:
        text += "" if brief else f" step {at.step}/{at.steps}"
        silent = silence(seen.facts)
        late = is_late(seen.facts, silent)
        text += f", {duration(silent)} ago" if late else f" ETA {duration(at.eta_seconds)}"
    return text


def _result(seen: RunView) -> str:
    evaluated = seen.facts.evaluated
    if seen.record.is_search:
        return search_view.result(seen)
    return f"{evaluated.metric_name} {by_point(evaluated.metric)}" if evaluated else ""


def _position(at: Progress, facts: RunFacts) -> str:
    """Return the last progress of a running job, and how long ago that was."""
    silent = silence(facts)
    if is_late(facts, silent):
        at = replace(at, eta_seconds=None)
    return progress_line(at) + (f"  ({duration(silent)} ago)" if silent is not None else "")


def _standing(seen: RunView) -> Iterator[str]:
    """Yield the state of a run: its end, or its progress and its last evaluation."""
    if seen.state is State.SUCCEEDED:
        yield from conclusion(seen)
        return
    facts = seen.facts
    if seen.trial:
        yield f"settings: {settings_line(seen.trial.settings)}"
    if facts.searching and not is_final(seen.state):
        yield from search_view.standing(seen, facts.searching)
    if facts.progress and seen.state is State.RUNNING:
        yield _position(facts.progress, facts)
    elif facts.progress:
        yield progress_line(replace(facts.progress, eta_seconds=None))
    if seen.delay:
        yield seen.delay
    if facts.restarted:
        yield f"restarts: {facts.restarted.count}, the last: {facts.restarted.reason}"
    if facts.evaluated:
        yield from describe(facts.evaluated)
    if is_final(seen.state):
        yield from conclusion(seen)
