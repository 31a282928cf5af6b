"""orch stacks: what each rank of a run is doing now."""

from collections.abc import Iterator

import click

from orchestrator.cli.completion import complete_run
from orchestrator.cli.output import answer, answer_json, say
from orchestrator.errors import Unreachable, UsageError
from orchestrator.frames import threads_of
from orchestrator.runs import registry, view
from orchestrator.runs.ranks import Rank, Ranks, ranks_of
from orchestrator.state import State, is_final
from orchestrator.wording import duration


@click.command()
@click.argument("job_name", metavar="JOB", shell_complete=complete_run)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def stacks(job_name: str, as_json: bool) -> None:
    """Print what each rank of a running JOB is doing: where in the code, the innermost call first.

    Lines of the job's own code begin with >. A rank that waits for another one shows which call
    waits; the one that is waited for is somewhere else, or does not answer.

    \b
    Examples:
      orch stacks last
      orch stacks search_lambda_p1_alpha.t007
    """
    record = registry.find(job_name)
    client = view.client_of(record)
    seen = view.look(record)
    if client is None or is_final(seen.state):
        raise UsageError(
            f"{record.run} is {seen.state}, so no rank does anything; `orch logs {record.run}` "
            "shows what they did."
        )
    ranks = ranks_of(record, client)
    present = ranks.present(record.last.submitted_at)
    if as_json:
        answer_json([_as_dict(rank) for rank in present])
    for line in () if as_json else _lines(present):
        answer(line)
    for line in _lacking(ranks, present, seen.state, record.run):
        say(line)
    if not present:
        raise click.exceptions.Exit(Unreachable.exit_code)


def _lines(present: list[Rank]) -> Iterator[str]:
    for rank in present:
        trial = f"{rank.said.trial}  " if rank.said.trial else ""
        ago = f"{duration(rank.age)} ago"
        seen = ago if rank.answers else f"DOES NOT ANSWER; what it did {ago}:"
        yield f"{trial}rank {rank.said.rank}  pid {rank.said.pid} on {rank.node}, {seen}"
        for number, calls in enumerate(threads_of(rank.said)):
            if number:
                yield "  another thread:"
            for frame in calls:
                yield f"  {'>' if frame.own else ' '} {frame.place}  {frame.function}"
        yield ""


def _lacking(ranks: Ranks, present: list[Rank], state: State, run: str) -> Iterator[str]:
    """Yield which ranks are not among those that showed themselves, and why that may be."""
    if not present:
        yield (
            f"No rank of {run}, which is {state}, has begun to train; `orch status {run}` may say "
            "why."
        )
    for trial in dict.fromkeys(rank.said.trial for rank in present):
        there = [rank.said for rank in present if rank.said.trial == trial]
        world = range(there[-1].world)
        if missing := sorted(set(world) - {said.rank for said in there}):
            named = ", ".join(map(str, missing))
            where = f"{trial}: " if trial else ""
            yield f"{where}Nothing is seen of rank {named}: it has not begun, or has just ended."
    for node in ranks.silent:
        yield f"The node {node} does not answer; what its ranks do is not known."


def _as_dict(rank: Rank) -> dict[str, object]:
    return {
        "trial": rank.said.trial,
        "rank": rank.said.rank,
        "node": rank.node,
        "pid": rank.said.pid,
        "answers": rank.answers,
        "age": rank.age,
        "threads": [[frame._asdict() for frame in calls] for calls in threads_of(rank.said)],
    }
