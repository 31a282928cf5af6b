"""What one rank of a run prints: all so far, or as it comes."""

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.cli.trial_logs import TrialEvents
from orchestrator.cluster.client import ClusterClient, JobInfo
from orchestrator.cluster.tail import Reader
from orchestrator.errors import UsageError
from orchestrator.events import TrialEnded
from orchestrator.runs.rank_lines import Note, RankLines, heading
from orchestrator.runs.ranks import ranks_of
from orchestrator.runs.registry import Record

Piece = str | Note | TrialEnded


def printed(record: Record, client: ClusterClient, number: int) -> Iterator[str | Note]:
    """Yield what the processes of a rank have printed, the oldest first.

    Raises UsageError when there are none.
    """
    ranks = ranks_of(record, client)
    found = [rank for rank in ranks.found if rank.said.rank == number]
    if not found:
        known = sorted({rank.said.rank for rank in ranks.found})
        silent = "".join(f" The node {node} does not answer." for node in ranks.silent)
        raise UsageError(
            f"No process of rank {number} of {record.run} is known"
            + (f", only of {', '.join(map(str, known))}." if known else " yet.")
            + silent
        )
    for rank in found:
        yield Note(heading(rank))
        yield from rank.printed(client).splitlines()


def reader(record: Record, client: ClusterClient, number: int) -> Reader[Piece]:
    """Return what reads the lines of a rank as they come; of a trial's, its end as well.

    Raises UsageError for a rank that the run never has.
    """
    if not record.job.get("search"):
        given = record.job["cluster"]["num_workers"]
        most = given["max"] if isinstance(given, dict) else given
        if number >= most:
            raise UsageError(f"{record.run} has no rank {number}: the last one is {most - 1}.")
    events = TrialEvents(client, record.last.submission_id, record.within)
    lines = RankLines(client, record, number)
    return _RankLog(client, lines.submission_id, lines, events if record.within else None)


@dataclass
class _RankLog:
    """Reads the lines of a rank; and the end of the trial whose it is, behind its last ones."""

    client: ClusterClient
    submission_id: str
    lines: RankLines
    trial: TrialEvents | None

    def read(self, info: JobInfo | None) -> list[Piece]:
        """Return what is new. Raises Unreachable."""
        events = self.trial.read(info) if self.trial else []
        ended = [event for event in events if isinstance(event, TrialEnded)]
        return [*self.lines.read(None if ended else info), *ended]
