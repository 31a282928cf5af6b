"""What is known of runs: their records, joined with their clusters' and folders' answers."""

import contextlib
import logging
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from orchestrator import run_facts
from orchestrator.cluster import local
from orchestrator.cluster.client import ClusterClient, JobInfo
from orchestrator.cluster.dashboard import TokenRefused
from orchestrator.cluster.tail import JobEvents
from orchestrator.cluster.token import Token
from orchestrator.errors import UnknownJob, Unreachable
from orchestrator.event_parts import TrialRow, WorkerPlace
from orchestrator.events import Event
from orchestrator.job.paths import in_bucket
from orchestrator.run_facts import RunFacts
from orchestrator.runs import record_ends, registry
from orchestrator.runs.delay import Delay, silence
from orchestrator.runs.registry import Attempt, Outcome, Record
from orchestrator.runs.told import (
    facts_at_hand,
    facts_for_list,
    facts_of,
    facts_of_job,
    with_the_end,
)
from orchestrator.state import State, is_final

LOOK_SECONDS = 5.0
"""How long a cluster may take to say how one job is doing."""
LIST_SECONDS = 2.0
"""How long `orch list` waits for a cluster."""
GONE = "the cluster no longer knows it"
SILENT = "the cluster does not answer"
CUT_SHORT = "its results were complete before its job was ended"
FROM_FOLDER = f"{SILENT}; this is what the run's folder says"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunView:
    """The present state of a run. note: where the state is from."""

    record: Record
    state: State
    facts: RunFacts = field(default_factory=RunFacts)
    note: str = ""
    exit_code: int | None = None
    message: str = ""
    ended: float | None = None
    delay: str = ""
    """Why a running job does not advance."""
    trial: TrialRow | None = None
    """How it stands in its search, of a trial."""

    @property
    def workers(self) -> tuple[WorkerPlace, ...]:
        """The processes that train a running job, by rank; none between two groups of them."""
        gathered = self.facts.gathered
        return gathered.workers if gathered and self.state is State.RUNNING else ()


def client_of(record: Record, timeout: float = 10.0) -> ClusterClient | None:
    """Return a client of the run's cluster; None when that was a local head that has stopped.

    A local head that is alive has one, as a cluster elsewhere has, whether it answers or not.
    """
    if not record.local:
        return ClusterClient(record.address, timeout=timeout, token=_token_of(record))
    head = local.running()
    return head.client(timeout) if head else None


def _token_of(record: Record) -> Token | None:
    if not record.cluster:
        return None
    from orchestrator.cluster import named

    return named.token_of(record.cluster)


def look(record: Record) -> RunView:
    """Return what is known of one run, asking its cluster if it may be running.

    Raises UnknownJob for a trial that its search does not have, or of which nothing is known.
    """
    if record.within:
        return _look_at_trial(record)
    if record.last.outcome:
        return settle(_settled(record))
    client = client_of(record)
    info, answered = None, True
    if client is not None:
        try:
            info = client.job(record.last.submission_id, timeout=LOOK_SECONDS)
        except Unreachable as error:
            answered = False
            _warn_of_token(error)
    if info is None and answered and (now := _settled_meanwhile(record)):
        return settle(now)
    facts = facts_of_job(record, client, info) if client and info else facts_of(record)
    seen = settle(_up_to_date(_join(record, info, facts, answered)))
    if client is None or seen.state is not State.RUNNING:
        return seen
    if len(record.attempts) > 1 and (facts.last_time or 0.0) < record.last.submitted_at:
        facts = RunFacts()  # what an earlier attempt said last tells nothing of this one's silence
    return replace(seen, delay=Delay(record, client).sentence(facts, silence(facts)))


def events_of(record: Record) -> list[Event]:
    """Return all events of a run's latest attempt that its cluster still knows."""
    client = client_of(record)
    info = client.job(record.last.submission_id) if client else None
    return JobEvents(client, record.last.submission_id).read(info) if client and info else []


def look_all(records: Iterable[Record]) -> list[RunView]:
    """Return the present states of runs, asking all clusters at the same time."""
    records = list(records)
    open_runs = [record for record in records if not record.last.outcome]
    clients = {_place(record): client_of(record, LIST_SECONDS) for record in _one_each(open_runs)}
    with ThreadPoolExecutor(max_workers=16) as pool:
        jobs = dict(zip(clients, pool.map(_known_jobs, clients.values()), strict=True))

        def seen(record: Record) -> RunView:
            place = _place(record)
            return _seen_among(record, clients[place], jobs[place])

        looks = dict(zip([r.run for r in open_runs], pool.map(seen, open_runs), strict=True))
    views = [looks.get(record.run) or _settled(record) for record in records]
    for view in views:
        _tell_the_record(view)
    return views


def unknown_jobs(client: ClusterClient) -> list[RunView]:
    """Return orch's jobs on a cluster that were not submitted from here. Raises Unreachable."""
    own = {record.run for record in registry.load_all()}
    views: dict[str, RunView] = {}
    for job in sorted(client.jobs(), key=lambda job: job.started or 0):
        run = job.metadata.get("run", "")
        if "orch" in job.metadata and run not in own:
            views[run] = _stranger(job, client)
    return list(views.values())


def _up_to_date(view: RunView) -> RunView:
    """Return what is known of a search, with what its journal says, which is seen only here.

    A bucket is asked only for what the cluster does not know: that takes most of a second.
    """
    told = view.facts.searched or (view.state is State.RUNNING and view.facts.searching)
    if not view.record.is_search or (told and in_bucket(view.record.run_dir)):
        return view
    from orchestrator.runs import trials
    from orchestrator.search import announce

    standing = trials.standing_of(view.record)
    if standing.opened is None:
        notes = [view.note, trials.damage(view.record, standing)]
        return replace(view, note="; ".join(filter(None, notes)))
    now = time.time() if view.state is State.RUNNING else standing.time
    next_within = view.facts.searching.next_within if view.facts.searching else 0.0
    searching = announce.searching(standing, now, next_within)
    said = view.facts.searching.time if view.facts.searching else None
    return replace(view, facts=replace(view.facts, searching=replace(searching, time=said)))


def _look_at_trial(record: Record) -> RunView:
    from orchestrator.runs import trials

    search = look(registry.find(record.search))
    standing = trials.standing_of(search.record)
    if damage := trials.damage(search.record, standing):
        advice = f"`orch resume {search.record.run}` mends it, once the search has ended."
        raise UnknownJob(f"Nothing is known of {record.within}: {damage}; {advice}")
    if standing.opened:
        row, facts = trials.in_folder(record, standing)
    else:
        row, facts = trials.in_events(record, events_of(search.record))
    state, note = trials.state_of(row, search.state), trials.note_of(row, search.state)
    return RunView(record, state, facts, note, trial=row)


def settle(view: RunView) -> RunView:
    """Record how a run ended, once it has, so that no cluster has to be asked again."""
    _tell_the_record(view)
    if is_final(view.state) and view.state is not State.LOST and not view.record.last.outcome:
        outcome = Outcome(view.state, view.exit_code, view.message, view.facts, view.ended)
        registry.note_outcome(view.record, outcome)
    return view


def settle_jobs_of_head() -> None:
    """Record how those jobs of the local head ended that have ended and nobody has looked at.

    It may be stopped next, and some that were killed have said nothing that would be kept.
    """
    with contextlib.suppress(Unreachable):
        head = local.running()
        jobs = head.client().jobs() if head else []
        for job in jobs:
            if not is_final(job.state):
                continue
            record = registry.kept(registry.run_of(job.submission_id))
            if record is None or record.last.submission_id != job.submission_id:
                continue
            if record.local and not record.last.outcome:
                look(record)


def by_results(seen: RunView) -> RunView:
    """Return a run as finished that left its results, however its job has ended after them.

    A driver that is ended while it brings the last metrics to MLflow cannot say so any more. One
    that said that the run failed is believed, and so is a job that has not ended.
    """
    if not is_final(seen.state) or seen.state is State.SUCCEEDED or _said_failed(seen):
        return seen
    facts = seen.facts
    if facts.state is not State.SUCCEEDED:
        end = run_facts.end_of(seen.record.folder)
        if end is None:
            return seen
        facts = replace(facts, finished=end)
    note = GONE if seen.note == GONE else CUT_SHORT
    return RunView(seen.record, State.SUCCEEDED, facts, note, message=note, ended=seen.ended)


def _said_failed(seen: RunView) -> bool:
    """Return whether a run failed by its own account; a killed driver's code is none of these."""
    failed = seen.state is State.FAILED and seen.exit_code in (1, 2, 3)
    return failed and seen.facts.state is not State.SUCCEEDED


def _tell_the_record(view: RunView) -> None:
    """Set the record right in MLflow, unless the driver said itself that it has succeeded."""
    if view.state is State.SUCCEEDED and view.message not in (GONE, CUT_SHORT):
        return
    first_time = view.record.last.outcome is None
    record_ends.notice(view.state, view.record.folder, view.facts, first_time=first_time)


def _settled_meanwhile(record: Record) -> RunView | None:
    """Return how a run ended by what another command recorded, which may have stopped its head."""
    now = registry.kept(record.run)
    if now and now.last.outcome and now.last.submission_id == record.last.submission_id:
        return _settled(now)
    return None


def _settled(record: Record) -> RunView:
    outcome = record.last.outcome
    assert outcome is not None
    return RunView(
        record,
        outcome.state,
        outcome.facts.over(facts_at_hand(record)),
        exit_code=outcome.exit_code,
        message=outcome.message,
        ended=outcome.ended,
    )


def _join(record: Record, info: JobInfo | None, facts: RunFacts, answered: bool) -> RunView:
    """Return the state of a run by its cluster, else by what its driver said, else by its results.

    Results alone count once the job has ended, or the cluster has forgotten it: before that, and
    while the cluster does not answer, the driver may still bring the metrics to MLflow.
    """
    if info is not None:
        end = (info.exit_code, info.message, info.ended)
        return by_results(RunView(record, info.state, facts, "", *end))
    stated = facts.state
    if not answered:
        return RunView(record, stated or State.PENDING, facts, FROM_FOLDER if stated else SILENT)
    return forgotten(record, facts)


def forgotten(record: Record, facts: RunFacts) -> RunView:
    """Return the state of a run that its cluster does not know, or whose local head is gone."""
    facts = with_the_end(record, facts)
    stated = facts.state
    if stated is not None and is_final(stated):
        failed = facts.failed
        code, message = (failed.exit_code, failed.message) if failed else (None, "")
        return by_results(RunView(record, stated, facts, "", code, message))
    return by_results(RunView(record, State.LOST, facts, GONE))


def _seen_among(
    record: Record, client: ClusterClient | None, jobs: dict[str, JobInfo] | None
) -> RunView:
    """Return the state of a run that has not ended, by its cluster's jobs."""
    info = jobs.get(record.last.submission_id) if jobs is not None else None
    facts = facts_for_list(record, client, info) if client and info else facts_of(record)
    return _up_to_date(_join(record, info, facts, jobs is not None))


def _known_jobs(client: ClusterClient | None) -> dict[str, JobInfo] | None:
    """Return a cluster's jobs by id, none for a head that has stopped; None without an answer."""
    if client is None:
        return {}
    try:
        return {job.submission_id: job for job in client.jobs()}
    except Unreachable as error:
        _warn_of_token(error)
        return None


def _warn_of_token(error: Unreachable) -> None:
    """Say why a cluster does not answer, if a token would help."""
    if isinstance(error, TokenRefused):
        _LOG.warning("%s", error)


def _place(record: Record) -> str:
    return "local" if record.local else record.address


def _one_each(records: list[Record]) -> list[Record]:
    return list({_place(record): record for record in records}.values())


def _stranger(job: JobInfo, client: ClusterClient) -> RunView:
    attempt = Attempt(job.submission_id, job.started or 0.0)
    record = Record(
        run=job.metadata["run"],
        name=job.metadata.get("name", job.metadata["run"]),
        job={},
        job_file="",
        address=client.url,
        local=False,
        run_dir=job.metadata.get("run_dir", ""),
        attempts=(attempt,),
    )
    facts = facts_for_list(record, client, job)
    return RunView(record, job.state, facts, "", job.exit_code, job.message, job.ended)
