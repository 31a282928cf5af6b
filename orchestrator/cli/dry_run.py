"""orch submit --dry-run: the arithmetic, and every check that submitting would make."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from orchestrator.cli.output import answer, answer_json, print_table, say
from orchestrator.errors import OrchError, UsageError
from orchestrator.job.uri import masked

if TYPE_CHECKING:
    from orchestrator.job.schema import Job
    from orchestrator.plan.batch import BatchPlan

SHOWN_WORKERS = (1, 2, 3, 4, 5, 6, 7, 8, 16, 32)
"""Numbers of workers for which a dry run prints the arithmetic."""


def show(jobs: list["Job"], where: tuple[str, str] | None, several: bool, as_json: bool) -> int:
    """Print what submitting would do or refuse; return the exit code."""
    told = [_facts(job, where) for job in jobs]
    if as_json:
        documents = [facts | {"problem": str(error or "") or None} for facts, error in told]
        answer_json({"jobs": documents} if several else documents[0])
    else:
        for job, (facts, _) in zip(jobs, told, strict=True):
            _print(job, facts)
    errors = {str(error): error.exit_code for _, error in told if error}
    for message in errors:
        say(message)
    return min(errors.values(), default=0)


def plan(job: "Job") -> "BatchPlan":
    """Return how a job's optimizer step is carried out."""
    return _plan_for(job, job.cluster.num_workers)


def _facts(job: "Job", where: tuple[str, str] | None) -> tuple[dict[str, Any], OrchError | None]:
    """Return what submitting a job would do, and why it would be refused."""
    counts = sorted({*SHOWN_WORKERS, job.cluster.num_workers})
    here = "a local Ray cluster on this machine"
    facts = {
        "job": job.as_dict(),
        "batch": plan(job).__dict__,
        "workers": [_arithmetic(job, count) for count in counts],
        "cluster": f"{masked(where[0])} ({where[1]})" if where else here,
    }
    from orchestrator.runs import submission

    try:
        place = submission.check(job, where[0] if where else None, say)
    except OrchError as error:
        return facts | {"checked": []}, error
    return facts | {"checked": submission.CHECKED_HERE if place.here else submission.CHECKED}, None


def _print(job: "Job", facts: dict[str, Any]) -> None:
    answer(f"{job.name}: global batch {plan(job).sentence()}")
    answer("")
    print_table(
        ("workers", "batch per worker", "per pass", "accumulation"),
        [_cells(row) for row in facts["workers"]],
        right=("workers", "batch per worker", "per pass", "accumulation"),
    )
    for row in facts["workers"]:
        if "refused" in row:
            answer(str(row["refused"]))
    answer("")
    for line in _phases(job):
        answer(line)
    cluster = job.cluster
    gpus = {"auto": ", and a GPU each where there are enough", 0: "", 1: " and 1 GPU"}
    answer(f"would go to    {facts['cluster']}")
    answer(
        f"would ask for  {cluster.num_workers} x {cluster.cpus_per_worker} CPUs"
        f"{gpus[cluster.gpus_per_worker]}"
    )
    answer(f"would write    {job.output}/<run>")
    if facts["checked"]:
        answer(f"was checked    {', '.join(facts['checked'])}")


def _phases(job: "Job") -> Iterator[str]:
    """Yield what is trained in each phase of a job that has several."""
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


def _arithmetic(job: "Job", num_workers: int) -> dict[str, Any]:
    try:
        return dict(_plan_for(job, num_workers).__dict__)
    except UsageError as error:
        return {"num_workers": num_workers, "refused": str(error)}


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    if "refused" in row:
        return (str(row["num_workers"]), "refused", "", "")
    names = ("num_workers", "per_worker", "micro_batch", "accumulation")
    return tuple(str(row[name]) for name in names)
