"""The lines that a rank prints, as they come, from whichever processes have the rank."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from orchestrator.cluster.client import ClusterClient, JobInfo
from orchestrator.errors import Unreachable
from orchestrator.runs.ranks import MARKS, Rank, ranks_of
from orchestrator.runs.registry import Record
from orchestrator.state import is_final
from orchestrator.wording import clock

LOOK_SECONDS = 5.0
"""Between two looks for new processes, for which every node is asked."""


@dataclass(frozen=True)
class Note:
    """What is to be said between the lines: whose they are, and which node does not answer."""

    text: str


@dataclass
class _Source:
    """The output of a process.

    is_known: it was named to the reader. is_there: it has the rank still. is_read: to its end.
    """

    rank: Rank
    is_known: bool = False
    is_there: bool = True
    is_read: bool = False
    _taken: dict[str, int] = field(default_factory=dict)

    def see(self, rank: Rank | None) -> None:
        """Take in what the process says of itself now; None when it no longer says anything."""
        self.is_there = rank is not None and rank.answers and not rank.said.ended
        if rank and rank.said.seen != self.rank.said.seen:
            self.rank, self.is_read = rank, False

    def lines(self, client: ClusterClient, *, whole: bool) -> list[str]:
        """Return the new lines; with `whole`, an unfinished last one too. Raises Unreachable."""
        texts = {name: client.log_file(self.rank.node_id, name) for name in self.rank.said.output}
        new: list[str] = []
        for name, text in texts.items():
            begin, end = self._taken.get(name, 0), len(text) if whole else text.rfind("\n") + 1
            new += (line for line in text[begin:end].splitlines() if not line.startswith(MARKS))
            self._taken[name] = max(begin, end)
        return new


class RankLines:
    """Reads what is new of a rank, for `tail.follow`: lines, and notes before those of another
    process.
    """

    def __init__(self, client: ClusterClient, record: Record, number: int) -> None:
        self.client = client
        self.submission_id = record.last.submission_id
        self._record = record
        self._number = number
        self._sources: dict[tuple[str, tuple[str, ...]], _Source] = {}
        self._shown: _Source | None = None
        self._silent: set[str] = set()
        self._looked = float("-inf")

    def read(self, info: JobInfo | None) -> list[str | Note]:
        """Return the new lines and notes; all that is left once the job has ended."""
        over = info is None or is_final(info.state)
        found: list[str | Note] = []
        if over or time.monotonic() - self._looked >= LOOK_SECONDS:
            found += self._look()
        for source in self._sources.values():
            if over or not source.is_read:
                found += self._new_of(source, over=over)
        return found

    def _look(self) -> Iterator[Note]:
        """See which processes there are now. Raises Unreachable when the cluster is away."""
        ranks = ranks_of(self._record, self.client)
        own = [rank for rank in ranks.found if rank.said.rank == self._number]
        now = {(rank.node_id, rank.said.output): rank for rank in own}
        if not own and self._looked < 0:
            yield Note(f"No process of rank {self._number} of {self._record.run} is known yet.")
        for node in ranks.silent:
            if node not in self._silent:
                yield Note(f"The node {node} does not answer.")
        self._silent = {*ranks.silent}
        for key, source in self._sources.items():
            source.see(now.get(key))
        for key, rank in now.items():
            if key not in self._sources:
                self._sources[key] = _Source(rank)
                self._sources[key].see(rank)
        self._looked = time.monotonic()

    def _new_of(self, source: _Source, *, over: bool) -> Iterator[str | Note]:
        """Yield what is new of a process, below a note of whose it is."""
        gone = not source.is_there
        source.is_read = gone
        try:
            lines = source.lines(self.client, whole=over or gone)
        except Unreachable:
            lines = []  # its node is about to be named as silent, or the cluster as away
        if not source.is_known or (lines and source is not self._shown):
            yield Note(self._heading(source))
            source.is_known, self._shown = True, source
        yield from lines

    def _heading(self, source: _Source) -> str:
        rank, said = source.rank, source.rank.said
        known = [other.rank.said for other in self._sources.values() if other.is_known]
        again = not source.is_known and said.trial in {other.trial for other in known}
        return heading(rank, again=again)


def heading(rank: Rank, *, again: bool = False) -> str:
    """Return whose lines follow. again: those of a process in place of another one."""
    of_trial = f" of {rank.said.trial}" if rank.said.trial else ""
    return (
        f"Rank {rank.said.rank}{of_trial}{' was started again' if again else ''}, "
        f"pid {rank.said.pid} on {rank.node}, from {clock(rank.said.began)}:"
    )
