"""orch submit --dry-run: the arithmetic, and every check that submitting would make."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.cli import search_preview
from orchestrator.cli.members import Member
from orchestrator.cli.output import answer, answer_json, print_table, say
from orchestrator.errors import OrchError, UsageError
from orchestrator.typed_json import Values, plain

if TYPE_CHECKING:
    from orchestrator.cluster.target import Target
    from orchestrator.job.schema import Job
    from orchestrator.plan.batch import BatchPlan
    from orchestrator.runs.preview import SearchOutlook

SHOWN_WORKERS = (1, 2, 3, 4, 5, 6, 7, 8, 16, 32)
"""Numbers of workers for which a dry run prints the arithmetic."""


def show(members: list[Member], target: "Target | None", several: bool, as_json: bool) -> int:
    """Print what submitting would do or refuse; return the exit code."""
    outlooks = [_outlook(member, target) for member in members]
    if as_json:
        documents = [plain(outlook) for outlook in outlooks]
        answer_json({"jobs": documents} if several else documents[0])
    else:
        for member, outlook in zip(members, outlooks, strict=True):
            _print(member.job, outlook)
    errors = {one.problem: one.exit_code for one in outlooks if one.problem}
    for message in errors:
        say(message)
    return min(errors.values(), default=0)


def plan(job: "Job") -> "BatchPlan":
    """Return how a job's optimizer step is carried out, by all its workers."""
    return job.plans[-1]


@dataclass(frozen=True)
class _Refused:
    """Why a job cannot be shared among so many workers."""

    num_workers: int
    refused: str


@dataclass(frozen=True)
class _Outlook:
    """What submitting a job would do.

    waits_for: the runs that it would begin after. problem: why it would be refused, with this exit
    code.
    """

    job: Values
    batch: "BatchPlan"
    workers: "list[BatchPlan | _Refused]"
    cluster: str
    waits_for: tuple[str, ...]
    checked: list[str]
    search: "SearchOutlook | None" = None
    problem: str | None = None
    exit_code: int = 0


def _outlook(member: Member, target: "Target | None") -> _Outlook:
    """Return what submitting a job would do, and why it would be refused."""
    from orchestrator.runs import submission

    job = member.job
    counts = sorted({*SHOWN_WORKERS, *(each.num_workers for each in job.plans)})
    here = "a local Ray cluster on this machine"
    outlook = _Outlook(
        job=job.as_dict(),
        batch=plan(job),
        workers=[_arithmetic(job, count) for count in counts],
        cluster=str(target or here),
        waits_for=member.waits_for,
        checked=[],
        search=_search(job, target),
    )
    try:
        place = submission.check(job, target, say, awaited=member.awaited)
    except OrchError as error:
        return replace(outlook, problem=str(error), exit_code=error.exit_code)
    checked = submission.CHECKED_HERE if place.here else submission.CHECKED
    return replace(outlook, checked=[one for one in checked if one not in _unseen(member)])


def _unseen(member: Member) -> Sequence[str]:
    """Return what cannot be checked of a job before the runs have ended that it waits for."""
    return ("weights",) if member.awaited else ()


def _search(job: "Job", target: "Target | None") -> "SearchOutlook | None":
    """Return what the search of a job would do; None for a job without one."""
    if job.search is None:
        return None
    from orchestrator.runs.preview import search_outlook

    return search_outlook(job, job.search, target)


def _print(job: "Job", outlook: _Outlook) -> None:
    answer(f"{job.name}: global batch {plan(job).sentence()}")
    answer("")
    print_table(
        ("workers", "batch per worker", "per pass", "accumulation"),
        [_cells(row) for row in outlook.workers],
        right=("workers", "batch per worker", "per pass", "accumulation"),
    )
    for row in outlook.workers:
        if isinstance(row, _Refused):
            answer(row.refused)
    answer("")
    for line in _phases(job):
        answer(line)
    cluster = job.cluster
    gpus = {"auto": ", and a GPU each where there are enough", 0: "", 1: " and 1 GPU"}
    answer(f"would go to    {outlook.cluster}")
    answer(
        f"would ask for  {cluster.counted} x {cluster.cpus_per_worker} CPUs"
        f"{gpus[cluster.gpus_per_worker]}"
    )
    if outlook.waits_for:
        answer(f"would wait for {', '.join(outlook.waits_for)}")
    answer(f"would write    {job.output}/<run>")
    if outlook.checked:
        answer(f"was checked    {', '.join(outlook.checked)}")
    if outlook.search:
        search_preview.show(outlook.search, cluster.most)


def _phases(job: "Job") -> Iterator[str]:
    """Yield a line for each phase of a job that has several."""
    parts = job.phase_jobs()
    for number, part in enumerate(parts, start=1):
        if len(parts) > 1:
            points = ", ".join(point.name for point in part.points)
            epochs = f"{part.training.epochs} epoch{'s' * (part.training.epochs > 1)}"
            rate = f"lr {part.optimizer.lr:g} ({part.optimizer.schedule})"
            what = f"{epochs}, {part.method.name} at {points}, {rate}"
            yield f"phase {number}/{len(parts)}     {what}"


def _plan_for(job: "Job", num_workers: int) -> "BatchPlan":
    from orchestrator.plan.batch import plan_batch

    return plan_batch(job.training.global_batch, num_workers, job.cluster.max_batch_per_worker)


def _arithmetic(job: "Job", num_workers: int) -> "BatchPlan | _Refused":
    try:
        return _plan_for(job, num_workers)
    except UsageError as error:
        return _Refused(num_workers, str(error))


def _cells(row: "BatchPlan | _Refused") -> tuple[str, ...]:
    if isinstance(row, _Refused):
        return (str(row.num_workers), "refused", "", "")
    counts = (row.num_workers, row.per_worker, row.micro_batch, row.accumulation)
    return tuple(map(str, counts))
