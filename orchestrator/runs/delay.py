"""Why a run does not advance: from its last events, and from its cluster when it is silent."""

import time

from orchestrator.cluster.client import ClusterClient
from orchestrator.errors import Unreachable
from orchestrator.events import Searching
from orchestrator.plan.workers import cpus_per_worker
from orchestrator.run_facts import RunFacts
from orchestrator.runs.registry import Record, run_of
from orchestrator.state import State
from orchestrator.wording import duration

START_SECONDS = 5.0
"""How long starting may take before the cluster is asked whether there is room for the workers."""
GRACE_SECONDS = 15.0
"""How late a sign of life may be."""
ASK_SECONDS = 3.0
"""The cluster is asked at most this often."""


def silence(facts: RunFacts) -> float | None:
    """Return how many seconds a run has been silent, by the clocks of both machines."""
    last = facts.last_time
    return None if last is None else max(0.0, time.time() - last)


def is_late(facts: RunFacts, silent: float | None) -> bool:
    """Return whether a run is overdue, or is being restarted."""
    if _is_restarting(facts):
        return True
    at = facts.searching or facts.progress
    due = at.next_within if at else 0.0
    return silent is not None and silent > due + GRACE_SECONDS


class Delay:
    """Finds out why one run does not advance."""

    def __init__(self, record: Record, client: ClusterClient) -> None:
        self._record = record
        self._client = client
        self._asked = float("-inf")
        self._answer = ""

    def sentence(self, facts: RunFacts, silent: float | None) -> str:
        """Return why the run does not advance; nothing while it does, or starts normally."""
        if facts.awaiting:
            return f"{facts.awaiting.message} `orch stop {self._record.run}` ends the waiting."
        at = facts.searching or facts.progress
        late = is_late(facts, silent)
        if not late and (at or silent is None or silent < START_SECONDS):
            return ""
        if room := self._no_room():
            known = "Ray takes up to half a minute to know which nodes are left. "
            return f"{room} {known * _is_restarting(facts)}{self._so_far(silent)}"
        if facts.restarted and _is_restarting(facts):
            return f"{facts.restarted.reason} The workers are being restarted ..."
        if not at or not late:
            return ""
        if isinstance(at, Searching):
            return _of_search(at, silent)
        from orchestrator.cluster.runtime import FROZEN_SECONDS  # most commands ship no code

        what = "No progress"
        if at.step == at.steps:
            what = f"No event since the end of epoch {at.epoch + 1} and its evaluation"
        return (
            f"{what} for {duration(silent)}; a worker that does not answer is given up after "
            f"{duration(FROZEN_SECONDS)}. `orch stacks {self._record.run}` shows what each rank "
            "does."
        )

    def _no_room(self) -> str:
        """Return why the cluster cannot start the workers, if that is so."""
        now = time.monotonic()
        if now - self._asked > ASK_SECONDS:
            self._asked = now
            try:
                self._answer = self._ask()
            except Unreachable:
                self._answer = ""
        return self._answer

    def _so_far(self, silent: float | None) -> str:
        """Return how long that takes already, and how to end it."""
        waited = f"So far for {duration(silent)}; " if silent is not None else ""
        return f"{waited}`orch stop {self._record.run}` ends the waiting."

    def _ask(self) -> str:
        jobs = [job for job in self._client.jobs() if job.state is State.RUNNING]
        own = [job for job in jobs if job.submission_id == self._record.last.submission_id]
        if not own or not self._client.waits_for_room(own[0]):
            return ""
        asked = self._record.job["cluster"]
        each = cpus_per_worker(asked["loader_workers"])
        count = asked["num_workers"]
        if isinstance(count, dict):
            count = f"{count['min']} to {count['max']}"
        others = " and ".join(run_of(job.submission_id) for job in jobs if job not in own)
        return (
            f"Waiting for room for {count} workers with {each} "
            f"CPU{'s' * (each > 1)} each; the cluster has {self._client.capacity().sentence()}"
            + (f", used by {others}." if others else ".")
        )


def _of_search(at: Searching, silent: float | None) -> str:
    """Return why a search that is overdue says nothing."""
    if sum(at.ended.values()) == at.trials:
        return "All trials have ended; the last tables, figures and records are being written."
    return f"No news of the search for {duration(silent)}."


def _is_restarting(facts: RunFacts) -> bool:
    """Return whether workers were lost and no new ones have reported yet."""
    if facts.restarted is None:
        return False
    said = (facts.started, facts.progress, facts.evaluated)
    since = [event.time or 0.0 for event in said if event]
    return (facts.restarted.time or 0.0) > max(since, default=0.0)
