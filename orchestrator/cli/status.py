"""orch status: all that is known of one run."""

from collections.abc import Iterator
from dataclasses import replace

import click

from orchestrator.cli import search_view
from orchestrator.cli.completion import complete_run
from orchestrator.cli.links import link_lines
from orchestrator.cli.output import answer, answer_json
from orchestrator.cli.summary import as_dict, conclusion
from orchestrator.event_parts import WorkerPlace
from orchestrator.events import Progress, Restarted
from orchestrator.run_facts import RunFacts
from orchestrator.runs import registry, view
from orchestrator.runs.delay import is_late, silence
from orchestrator.runs.view import RunView
from orchestrator.state import State, is_final
from orchestrator.wording import (
    arithmetic_line,
    clock,
    describe,
    duration,
    progress_line,
    settings_line,
)

SHOWN_RESTARTS = 5
"""How many restarts are printed, the last ones; --json has all."""


@click.command()
@click.argument("job_name", metavar="JOB", shell_complete=complete_run)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document (docs/status.md).")
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
    for line in [*link_lines(seen), *_how_it_runs(seen)]:
        answer(line)


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
    if facts.evaluated:
        yield from describe(facts.evaluated)
    if is_final(seen.state):
        yield from conclusion(seen)


def _position(at: Progress, facts: RunFacts) -> str:
    """Return the last progress of a running job, and how long ago that was."""
    silent = silence(facts)
    if is_late(facts, silent):
        at = replace(at, eta_seconds=None)
    return progress_line(at) + (f"  ({duration(silent)} ago)" if silent is not None else "")


def _how_it_runs(seen: RunView) -> Iterator[str]:
    """Yield the arithmetic, the workers, each restart with its cause, and the attempts."""
    if seen.facts.arithmetic:
        yield f"{'arithmetic:':<15}{arithmetic_line(seen.facts.arithmetic)}"
    if seen.workers:
        yield f"{'workers:':<15}{_on_nodes(seen.workers)}"
    yield from _restarts(seen.facts.restarts)
    for number, attempt in enumerate(seen.record.attempts, 1):
        began = clock(attempt.submitted_at)
        yield f"{f'attempt {number}:':<15}{attempt.submission_id}, submitted {began}"


def _on_nodes(workers: tuple[WorkerPlace, ...]) -> str:
    """Return "3 on 2 nodes: 10.0.0.5 (rank 0), 10.0.0.6 (ranks 1, 2)"."""
    on: dict[str, list[str]] = {}
    for worker in workers:
        on.setdefault(worker.node, []).append(f"{worker.rank}")
    places = (
        f"{node} (rank{'s' * (len(ranks) > 1)} {', '.join(ranks)})" for node, ranks in on.items()
    )
    return f"{len(workers)} on {len(on)} node{'s' * (len(on) > 1)}: {', '.join(places)}"


def _restarts(restarts: tuple[Restarted, ...]) -> Iterator[str]:
    """Yield how often lost workers were restarted, and when and why, the last times."""
    if not restarts:
        return
    before = len(restarts) - SHOWN_RESTARTS
    yield f"{'restarts:':<15}{len(restarts)}" + (f", the last {SHOWN_RESTARTS}:" * (before > 0))
    for restart in restarts[-SHOWN_RESTARTS:]:
        when = clock(restart.time) if restart.time else ""
        yield f"  {when}  {restart.reason}"
