"""Send a job to a cluster: everything is checked, then shipped, then recorded."""

import itertools
import secrets
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator import __version__, handover, home
from orchestrator.cluster import capacity, environment, local, runtime, versions
from orchestrator.cluster.address import is_this_machine
from orchestrator.cluster.capacity import Capacity, Demand
from orchestrator.cluster.client import TOKEN, ClusterClient
from orchestrator.cluster.local import Head
from orchestrator.cluster.target import Target
from orchestrator.errors import (
    AlreadySubmitted,
    JobFailed,
    MaybeSubmitted,
    OrchError,
    Unreachable,
    UsageError,
)
from orchestrator.job import weights
from orchestrator.runs import registry
from orchestrator.runs.registry import Attempt, Record
from orchestrator.shipment import Shipment
from orchestrator.store.place import folder_at
from orchestrator.store.run_folder import RunFolder

if TYPE_CHECKING:
    from orchestrator.job.schema import Job
    from orchestrator.track.delta_b import ReferenceResults

Say = Callable[[str], None]

FIRST_NODE_SECONDS = 20.0

CHECKED = ["room for the workers", "the environment"]
CHECKED_HERE = [*CHECKED, "data", "weights", "output folder", "reference", "tracking server"]
"""What `check` checks; files on other machines can only be seen there."""


def new_folder(job: "Job") -> str:
    """Return where a run of a job will be that has not been submitted yet; it has a new name."""
    return str(folder_at(job.output) / _unique(job.name, time.time()))


def new_record(job: "Job", job_file: str, folder: str) -> Record:
    """Return the record of a run that is about to be submitted for the first time."""
    run = Path(folder).name
    return Record(
        run=run,
        name=job.name,
        job=job.as_dict(),
        job_file=job_file,
        address="",
        local=False,
        run_dir=folder,
        attempts=(Attempt(registry.submission_id(run, 1), time.time()),),
    )


def grouped(jobs: Sequence["Job"]) -> list["Job"]:
    """Return jobs that are submitted together as one group, unless they name another themselves.

    The group is called by the words with which all their names begin.
    """
    words = zip(*(job.name.split("_") for job in jobs), strict=False)
    shared = itertools.takewhile(lambda alike: len(set(alike)) == 1, words)
    name = "_".join(word for word, *_ in shared)
    group = _unique(name or f"{jobs[0].name}_and_{len(jobs) - 1}_more", time.time())
    return [job if job.tracking.group else _in_group(job, group) for job in jobs]


def _in_group(job: "Job", group: str) -> "Job":
    tracking = job.tracking.model_copy(update={"group": group})
    return job.model_copy(update={"tracking": tracking})


def _unique(name: str, now: float) -> str:
    """Return a name that no other run has: the time follows it, and four letters."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    return f"{name}-{stamp}-{secrets.token_hex(2)}"


@dataclass(frozen=True)
class Place:
    """Where a checked job will go. client: None for the local head, which need not run yet.

    here: the cluster's head is this machine. cluster: its name, if it was named. reference: of
    Delta_B, as the check found it.
    """

    client: ClusterClient | None
    here: bool
    cluster: str = ""
    reference: "ReferenceResults | None" = None


def check(
    job: "Job",
    target: Target | None,
    say: Say,
    folder: RunFolder | None = None,
    awaited: Collection[str] = (),
) -> Place:
    """Return where a job will go: the cluster that is meant, else the local head. Starts nothing.

    folder: of the run that the job continues, if it continues one. awaited: those of the runs that
    will have ended when the job begins. Raises UsageError with all problems, or Unreachable when
    only an answer is missing.
    """
    found: list[ReferenceResults | None] = []
    if target is None:
        _together(
            lambda: _check_room(job, local.offer(with_gpus=_asks_for_gpus(job)), "This machine"),
            lambda: found.append(_preflight(job, folder, say, awaited)),
            environment.for_local_head,
            home.check_writable,
            lambda: runtime.check_own_code(job.code),
        )
        return Place(None, here=True, reference=found[0])
    client = target.client()
    offered = _offered(client)
    here = is_this_machine(client.url, _head_ip(offered))
    _together(
        lambda: _check_room(job, offered, f"The cluster at {client.url}"),
        lambda: found.append(_preflight(job, folder, say, awaited) if here else None),
        lambda: None if here else _check_names(job),
        environment.for_other_cluster,
        home.check_writable,
        lambda: versions.check(client, say, here=here),
        lambda: runtime.check_own_code(job.code),
    )
    return Place(client, here, target.cluster, found[0])


def submit(record: Record, job: "Job", place: Place, say: Say) -> Record:
    """Submit the latest attempt of a run to the place that `check` returned for its job.

    Returns the record as it was written. Raises MaybeSubmitted when the cluster went away before it
    said whether it has the job; the record of the attempt stays. Raises UsageError or Unreachable;
    then nothing was submitted, nothing was recorded, and a head that this call started was stopped.
    """
    if place.client is None:
        return _submit_locally(record, job, place, say)
    env_vars = shown_elsewhere(say)
    there = replace(record, address=place.client.url, local=False, cluster=place.cluster)
    return _send(place.client, there, place, env_vars)


def _check_names(job: "Job") -> None:
    """Raise UsageError for names of weights that no run has: this client alone knows the runs."""
    unknown = [weights.no_weights(given) for given in weights.named(job) if weights.is_run(given)]
    if unknown:
        raise UsageError("\n".join(unknown))


def _together(*checks: Callable[[], object]) -> None:
    """Make all checks. Raises the only error, or one error with all messages."""
    errors: list[OrchError] = []
    for one in checks:
        try:
            one()
        except OrchError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        wrong = any(error.exit_code == UsageError.exit_code for error in errors)
        raise (UsageError if wrong else Unreachable)("\n".join(map(str, errors)))


def _offered(client: ClusterClient) -> Capacity:
    """Return what a cluster offers; a head that has just started lists no node at first."""
    end = time.monotonic() + FIRST_NODE_SECONDS
    offered = client.capacity()
    while not offered.nodes and time.monotonic() < end:
        time.sleep(0.5)
        offered = client.capacity()
    return offered


def _asks_for_gpus(job: "Job") -> bool:
    from orchestrator.job.corners import corner_jobs

    return any(demand(one).gpus_per_worker for _, one in corner_jobs(job, ("cluster",)))


def _check_room(job: "Job", offered: Capacity, where: str) -> None:
    """Raise UsageError when a job, or a trial of its search, could never start in a place."""
    from orchestrator.job.corners import corner_jobs, corner_name

    for settings, one in corner_jobs(job, ("cluster", "training.global_batch")):
        try:
            capacity.check(demand(one), offered, where)
        except UsageError as error:
            raise UsageError(
                f"{corner_name(settings)}: {error}" if settings else str(error)
            ) from None


def demand(job: "Job") -> Demand:
    """Return what a job asks of a cluster."""
    return Demand(
        num_workers=job.cluster.least,
        loader_workers=job.cluster.loader_workers,
        gpus_per_worker=0 if job.cluster.gpus_per_worker == "auto" else job.cluster.gpus_per_worker,
        global_batch=job.training.global_batch,
    )


def _submit_locally(record: Record, job: "Job", place: Place, say: Say) -> Record:
    with local.locked():
        head = local.ensure(say)
        try:
            client = head.client()
            _check_room(job, client.capacity(), "This machine")
            env_vars = _handed_over(head, record)
            there = replace(record, address=head.url, local=True, cluster="")
            return _send(client, there, place, env_vars)
        except MaybeSubmitted:
            raise
        except (UsageError, Unreachable):
            if not local.active_jobs(head):
                local.stop(head)
            raise


def shown_elsewhere(say: Say) -> dict[str, str]:
    """Return the environment of a job on another cluster; secrets stay here, with a warning.

    Another cluster may have other owners, and displays the environment of its jobs.
    """
    found = environment.for_other_cluster()
    if found.secret:
        names = ", ".join(sorted(found.secret))
        say(
            f"warning: {names} stay here, since a cluster displays its jobs' environment. If the "
            "job needs them, set them where the cluster's nodes are started."
        )
    return found.public


def _handed_over(head: Head, record: Record) -> dict[str, str]:
    """Return the environment of a job on the local head, with its secrets in a file."""
    folder = Path(head.folder) / "secrets"
    handover.sweep(folder, [job.submission_id for job in local.active_jobs(head)])
    found = environment.for_local_head()
    if not found.secret:
        return found.public
    try:
        file = handover.leave(folder, record.last.submission_id, found.secret)
    except OSError as error:
        raise UsageError(f"The job's secrets cannot be written to {folder} ({error}).") from error
    return found.public | {handover.VARIABLE: str(file)}


def _send(client: ClusterClient, record: Record, place: Place, env_vars: dict[str, str]) -> Record:
    """Ship and start the latest attempt. The record is on disk before the job can run.

    Where the attempt was submitted from elsewhere, the record has that one, which this run is then.
    """
    attempt = record.last
    number, reached = len(record.attempts), record.reached
    package = runtime.pack(
        Shipment(record.run, record.run_dir, number, record.job, place.reference, reached)
    )
    uri = client.upload(package.name, package.data)
    metadata = {
        "orch": __version__,
        "run": record.run,
        "name": record.name,
        "run_dir": record.run_dir,
        TOKEN: secrets.token_hex(8),
    }
    before = registry.kept(record.run)
    registry.change(record.run, lambda _: record)
    driver = runtime.SEARCH if record.is_search else runtime.TRAIN
    try:
        client.submit(
            attempt.submission_id,
            runtime.entrypoint(driver, on_this_machine=place.here),
            {
                "working_dir": uri,
                "env_vars": runtime.SETTINGS | env_vars,
                "py_executable": runtime.python(on_this_machine=place.here),
            },
            metadata,
        )
    except AlreadySubmitted:
        job = before.job if before else record.job
        registry.change(record.run, lambda now: replace(now or record, job=job))
        raise
    except MaybeSubmitted:
        raise
    except OrchError:
        _take_back(record, before)
        raise
    except BaseException:  # such as KeyboardInterrupt: the cluster may have the job
        there = client.job_if_any(attempt.submission_id, record.run)
        if there is None or not there.is_of(metadata):
            _take_back(record, before)
        raise
    return record


def _take_back(record: Record, before: Record | None) -> None:
    """Restore the record as it was before the latest attempt, if there was one."""
    registry.change(record.run, lambda _: before)


def _preflight(
    job: "Job", folder: RunFolder | None, say: Say, awaited: Collection[str]
) -> "ReferenceResults | None":
    from orchestrator.prepare import preflight

    def warn(warning: str) -> None:
        say(f"warning: {warning}")

    try:
        return preflight.check(job, folder, warn, awaited=awaited)
    except JobFailed as error:  # nothing was started that could have failed
        raise UsageError(str(error)) from error


def _head_ip(offered: Capacity) -> str | None:
    return next((node.ip for node in offered.nodes if node.is_head), None)
