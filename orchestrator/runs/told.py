"""What a run has said: the facts in its folder, or those that its cluster keeps beside its log."""

import contextlib
import json
from dataclasses import replace

from orchestrator import run_facts
from orchestrator.cluster import local
from orchestrator.cluster.client import ClusterClient, JobInfo
from orchestrator.cluster.tail import JobEvents
from orchestrator.errors import Unreachable
from orchestrator.job.paths import in_bucket
from orchestrator.run_facts import RunFacts, facts_file, facts_in
from orchestrator.runs.registry import Record
from orchestrator.state import State, is_final


def facts_of(record: Record) -> RunFacts:
    """Return what the run's folder says, if it is seen here; no state of an old attempt."""
    folder = record.folder
    facts = run_facts.facts_of(folder)
    if facts.state is None:
        return facts
    said = folder.driver_facts.written() or folder.facts.written() or 0.0
    return replace(facts, state=None) if said < record.last.submitted_at else facts


def facts_at_hand(record: Record) -> RunFacts:
    """Return the same, but nothing of a folder in a bucket: asking S3 takes most of a second."""
    return RunFacts() if in_bucket(record.run_dir) else facts_of(record)


def facts_of_job(record: Record, client: ClusterClient, info: JobInfo) -> RunFacts:
    """Return the facts of a run that its cluster knows: from its folder, else from there.

    A bucket is asked last.
    """
    facts = facts_at_hand(record)
    if _lacks_the_end(facts, info):
        with contextlib.suppress(Unreachable):
            facts = _told(client, info).over(facts)
    return facts if facts != RunFacts() else facts_of(record)


def with_the_end(record: Record, facts: RunFacts) -> RunFacts:
    """Return the facts of a run whose cluster does not know it, with the end that it told there.

    A run that failed before it had a folder told its end nowhere else than in its events, which
    are kept of a local head.
    """
    if not record.local or (facts.state and is_final(facts.state)):
        return facts
    said = local.last_stated(record.last.submission_id)
    return facts.after(said) if said and said.state and is_final(said.state) else facts


def facts_for_list(record: Record, client: ClusterClient, info: JobInfo) -> RunFacts:
    """Return the same as far as a quick question tells it, of a running job alone."""
    facts = facts_at_hand(record)
    if info.state is State.RUNNING and facts == RunFacts():
        with contextlib.suppress(Unreachable):
            return _kept_facts(client, info)
    return facts


def _kept_facts(client: ClusterClient, info: JobInfo) -> RunFacts:
    """Return the facts in the file beside a job's log; none where there is no such file."""
    if info.driver_node is None:
        return RunFacts()
    text = client.log_file(info.driver_node, facts_file(info.submission_id))
    try:
        return facts_in(json.loads(text))
    except ValueError:
        return RunFacts()


def _told(client: ClusterClient, info: JobInfo) -> RunFacts:
    """Return the facts that a cluster keeps of a job: in their own file, else in its events."""
    kept = _kept_facts(client, info)
    if kept != RunFacts():
        return kept
    return RunFacts().after(*JobEvents(client, info.submission_id).read(info))


def _lacks_the_end(facts: RunFacts, info: JobInfo) -> bool:
    """Return whether the log may know more than the run's folder: its disk may have been full."""
    known = facts.state is not None and is_final(facts.state)
    return facts == RunFacts() or (is_final(info.state) and not known)
