"""The ranks of a run as they show themselves: where each is, what it does, what it has printed."""

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from orchestrator.cluster.client import ClusterClient
from orchestrator.errors import Unreachable
from orchestrator.rank_file import RankFile, parse, pattern
from orchestrator.runs.registry import Record
from orchestrator.search.records import trial_of

LATE_SECONDS = 5.0
"""How late a rank may be before it counts as one that does not answer."""
SKEW_SECONDS = 30.0
"""By how much the clocks of machines may differ."""
MARKS = (":job_id:", ":actor_name:", ":task_name:")
"""What Ray writes into the output of a worker to tell whose it is."""
AT_ONCE = 16
"""How many files are asked for at the same time."""


@dataclass(frozen=True)
class Rank:
    """A process that trains or trained a rank of a run. node: its address."""

    node_id: str
    node: str
    said: RankFile

    @property
    def age(self) -> float:
        """How long ago it showed itself, in seconds, by the clocks of both machines."""
        return max(0.0, time.time() - self.said.seen)

    @property
    def answers(self) -> bool:
        """Whether it has shown itself when it should have."""
        return self.age <= self.said.next_within + LATE_SECONDS

    def printed(self, client: ClusterClient) -> str:
        """Return what the process has printed. Raises Unreachable."""
        texts = (client.log_file(self.node_id, name) for name in self.said.output)
        lines = (line for text in texts for line in text.splitlines(keepends=True))
        return "".join(line for line in lines if not line.startswith(MARKS))


@dataclass(frozen=True)
class Ranks:
    """The processes of a run, the oldest first. silent: the nodes that could not be asked."""

    found: tuple[Rank, ...]
    silent: tuple[str, ...] = ()

    def present(self, since: float) -> list[Rank]:
        """Return the latest process of each rank of each trial that is trained at present.

        since: when the run was last submitted; what was left before does not count.
        """
        latest: dict[str, dict[int, Rank]] = {}
        for rank in (rank for rank in self.found if rank.said.began > since - SKEW_SECONDS):
            here = latest.setdefault(rank.said.trial, {})
            here[rank.said.rank] = rank
            for gone in [other for other in here if other >= rank.said.world]:
                del here[gone]
        ranks = (rank for _, here in sorted(latest.items()) for _, rank in sorted(here.items()))
        return [rank for rank in ranks if not rank.said.ended]


def ranks_of(record: Record, client: ClusterClient) -> Ranks:
    """Return the processes that train, or trained, a run or a trial of a search.

    Raises Unreachable when the cluster is away.
    """
    nodes = client.node_addresses()
    silent: list[str] = []

    def on(node_id: str) -> list[Rank]:
        try:
            names = client.log_names(node_id, pattern(record.search))
            texts = [client.log_file(node_id, name) for name in names]
        except Unreachable:
            silent.append(nodes[node_id])
            return []
        return list(_ranks(node_id, nodes[node_id], texts))

    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        found = [rank for ranks in pool.map(on, nodes) for rank in ranks]
    own = [rank for rank in found if _is_of(rank.said, record)]
    return Ranks(tuple(sorted(own, key=lambda rank: rank.said.began)), tuple(sorted(silent)))


def _ranks(node_id: str, node: str, texts: Iterable[str]) -> Iterable[Rank]:
    for text in texts:
        if said := parse(text):
            yield Rank(node_id, node, said)


def _is_of(said: RankFile, record: Record) -> bool:
    mine = ("", said.trial, trial_of(said.trial) if said.trial else "")
    return said.run == record.search and record.within in mine
