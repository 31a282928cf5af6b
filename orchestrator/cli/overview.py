"""orch list: the states of runs."""

import sys
import time
from typing import TYPE_CHECKING, NoReturn

import click

from orchestrator.cli import search_view
from orchestrator.cli.output import answer, answer_json, say, without_end, without_middle
from orchestrator.cli.summary import as_dict
from orchestrator.cli.where import where
from orchestrator.cluster import target as targets
from orchestrator.cluster.client import ClusterClient
from orchestrator.errors import UsageError
from orchestrator.runs import registry, view
from orchestrator.runs.delay import is_late, silence
from orchestrator.runs.view import RunView
from orchestrator.state import State
from orchestrator.wording import by_point, duration

if TYPE_CHECKING:
    from rich.table import Table

WATCH_SECONDS = 2.0
COLUMNS = ("RUN", "STATE", "PROGRESS", "RESULT", "SUBMITTED", "WHERE")
EXPENDABLE = ("WHERE", "SUBMITTED")
"""Columns that a narrow list leaves out, in this order."""

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.command("list")
@click.option("-w", "--watch", is_flag=True, help="Refresh the list every two seconds.")
@where
@click.option(
    "-n",
    "--number",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="How many runs to list.",
)
@_json
def list_runs(
    watch: bool, address: str | None, cluster: str | None, number: int, as_json: bool
) -> None:
    """List the runs, the latest first; with a cluster, also the jobs that others sent to it.

    \b
    Examples:
      orch list -w
      orch list --address http://10.0.0.5:8265 --json
      orch list --cluster lab
    """
    target = targets.chosen(address, cluster)
    client = target.client() if target else None
    if watch and as_json:
        raise UsageError("--watch is for people, --json for programs; leave out one of them.")
    if watch:
        _watch(client, number)
    views = _views(client, number)
    if as_json:
        answer_json([as_dict(seen) for seen in views])
    elif views:
        _print_list(views)
    else:
        say("No runs yet. `orch submit FILE` starts one.")


def _views(client: ClusterClient | None, number: int) -> list[RunView]:
    views = view.look_all(registry.load_all()[:number])
    return views + (view.unknown_jobs(client) if client else [])


def _watch(client: ClusterClient | None, number: int) -> None:
    """Refresh the list forever: in place on a terminal, elsewhere one below the other."""
    from rich.live import Live

    from orchestrator.cli.output import console, moves

    shown = console()
    if not moves(shown):
        _watch_changes(client, number)
    with Live(console=shown, auto_refresh=False) as live:
        while True:
            live.update(fitting(_views(client, number), shown.width), refresh=True)
            time.sleep(WATCH_SECONDS)


def _watch_changes(client: ClusterClient | None, number: int) -> NoReturn:
    """Print the list whenever a state or a result has changed."""
    before: list[tuple[str, State, str]] | None = None
    while True:
        views = _views(client, number)
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
    place = "local" if seen.record.local else seen.record.cluster or seen.record.address
    progress = _progress(seen, brief=brief)
    return (seen.record.run, str(seen.state), progress, _result(seen), f"{age} ago", place)


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
