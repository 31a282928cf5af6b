"""orch submit, orch resume: bring a job file, or a run that ended, to a cluster."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli import attach
from orchestrator.cli.completion import complete_job_file, complete_run
from orchestrator.cli.links import as_dict, job_page
from orchestrator.cli.output import answer, answer_json, is_terminal, print_table, say
from orchestrator.cluster import address as addresses
from orchestrator.cluster import registry, view
from orchestrator.cluster.registry import Record
from orchestrator.cluster.state import State, is_final
from orchestrator.cluster.view import RunView
from orchestrator.errors import CheckpointMismatch, UsageError
from orchestrator.spec.uri import masked

if TYPE_CHECKING:
    from orchestrator.plan.batch import BatchPlan
    from orchestrator.spec.job import Job

SHOWN_WORKERS = (1, 2, 3, 4, 5, 6, 7, 8, 16, 32)
"""Numbers of workers for which a dry run shows the arithmetic."""

_set = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting of the job."
)
_address = click.option(
    "--address", metavar="URL", help="Cluster to use, http://HOST:8265; else RAY_ADDRESS."
)
_follow = click.option(
    "--follow/--detach",
    "follow",
    default=None,
    help="Stay until the job ends, or not. On a terminal, following is the default.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.command()
@click.argument("file", type=click.Path(), shell_complete=complete_job_file)
@_set
@_address
@click.option("--name", help="Name of the job, instead of the file's.")
@_follow
@click.option("--dry-run", is_flag=True, help="Show what would happen; start nothing.")
@_json
def submit(
    file: str,
    overrides: tuple[str, ...],
    address: str | None,
    name: str | None,
    follow: bool | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train what a job FILE says.

    With no cluster configured this starts a local one, which ends with its last followed job.

    \b
    Examples:
      orch submit jobs/quickstart.yaml --follow
      orch submit jobs/imagenet_r18.yaml --set cluster.num_workers=8 --dry-run
      orch submit jobs/activitynet_r50.yaml --address http://10.0.0.5:8265 --detach
    """
    job = _loaded(file, list(overrides), name)
    plan = _plan(job)
    where = addresses.configured(address)
    if dry_run:
        _dry_run(job, plan, where, as_json)
        return
    say(f"Global batch {plan.sentence()}.")
    from orchestrator.cluster import submission

    record = submission.submit(
        submission.new_record(job, file), job, where[0] if where else None, say
    )
    _go_on(record, follow, as_json)


@click.command()
@click.argument("job_name", metavar="JOB", shell_complete=complete_run)
@_set
@_address
@_follow
@_json
def resume(
    job_name: str,
    overrides: tuple[str, ...],
    address: str | None,
    follow: bool | None,
    as_json: bool,
) -> None:
    """Continue a run that has ended, from its last checkpoint.

    What the run learns cannot be changed; where and how it runs can (cluster.*, tracking.*,
    checkpoint.*).

    \b
    Examples:
      orch resume last
      orch resume imagenet_r18 --set cluster.num_workers=4 --follow
    """
    record = registry.find(job_name)
    now = view.look(record)
    if not is_final(now.state):
        raise UsageError(
            f"{record.run} is still {now.state}; `orch logs -f {record.run}` follows it, "
            f"`orch stop {record.run}` ends it."
        )
    if now.state is State.SUCCEEDED and not _metrics_wait(record):
        raise UsageError(
            f"{record.run} has finished, there is nothing to go on with; "
            f"`orch status {record.run}` shows its results."
        )
    job = _changed(record, overrides)
    from dataclasses import replace

    from orchestrator.cluster import submission

    where = _where_again(record, address)
    again = replace(registry.find(record.run), job=job.as_dict()).again(time.time())
    say(f"Global batch {_plan(job).sentence()}.")
    _go_on(submission.submit(again, job, where, say), follow, as_json)


def _loaded(file: str, overrides: list[str], name: str | None = None) -> "Job":
    from orchestrator.spec.load import load_job

    loaded = load_job(file, overrides, name=name)
    for warning in loaded.warnings:
        say(f"warning: {warning}")
    return loaded.job


def _metrics_wait(record: Record) -> bool:
    """Tell whether a run's folder holds metrics that its tracking server has not taken yet."""
    from orchestrator.track.journal import Journal

    folder = Path(record.run_dir)
    return folder.is_dir() and bool(Journal(folder).unsent()[0])


def _changed(record: Record, overrides: tuple[str, ...]) -> "Job":
    """Return the run's job with some settings changed. Raises CheckpointMismatch for others."""
    import tempfile

    from orchestrator.spec.compare import differences
    from orchestrator.spec.source import dump

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{record.name}.yaml"
        file.write_text(dump(record.job), encoding="utf-8")
        job = _loaded(str(file), list(overrides))
    if found := differences(record.job, job.as_dict()):
        listed = "\n".join(f"  {line}" for line in found)
        raise CheckpointMismatch(
            f"{record.run} cannot go on with other settings:\n{listed}\n"
            "Take these back, or submit a new run."
        )
    return job


def _where_again(record: Record, address: str | None) -> str | None:
    """A run goes on where it was, unless another cluster is named."""
    if address:
        return address
    return None if record.local else record.address


def _go_on(record: Record, follow: bool | None, as_json: bool) -> None:
    """Follow the job that was submitted, or say how to."""
    submitted = RunView(record, State.PENDING)
    if not as_json or follow:
        say(f"Submitted {record.run}: {job_page(record.address, submitted)}")
    if follow if follow is not None else is_terminal() and not as_json:
        ended = attach.follow(record)
        code = attach.conclude(ended, quiet=as_json)
        if as_json:
            answer_json(as_dict(ended))
        raise click.exceptions.Exit(code)
    if as_json:
        answer_json(as_dict(submitted))
        return
    answer(record.run)
    say(f"`orch logs -f {record.run}` follows it, `orch status {record.run}` tells how it goes.")
    if record.local:
        say("The local Ray cluster stays until `orch down`, or until `orch wait` sees the end.")


def _plan(job: "Job") -> "BatchPlan":
    return _plan_for(job, job.cluster.num_workers)


def _plan_for(job: "Job", num_workers: int) -> "BatchPlan":
    from orchestrator.plan.batch import plan_batch

    return plan_batch(job.training.global_batch, num_workers, job.cluster.max_batch_per_worker)


def _dry_run(job: "Job", plan: "BatchPlan", where: tuple[str, str] | None, as_json: bool) -> None:
    rows = [_arithmetic(job, count) for count in sorted({*SHOWN_WORKERS, job.cluster.num_workers})]
    target = f"{masked(where[0])} ({where[1]})" if where else "a local Ray cluster on this machine"
    if as_json:
        facts = {"job": job.as_dict(), "batch": plan.__dict__, "workers": rows, "cluster": target}
        answer_json(facts)
        return
    answer(f"{job.name}: global batch {plan.sentence()}")
    answer("")
    print_table(
        ("workers", "batch per worker", "per pass", "accumulation"),
        [_cells(row) for row in rows],
        right=("workers", "batch per worker", "per pass", "accumulation"),
    )
    for row in rows:
        if "refused" in row:
            answer(str(row["refused"]))
    answer("")
    cluster = job.cluster
    gpus = {"auto": ", and a GPU each where there are enough", 0: "", 1: " and 1 GPU"}
    answer(f"would go to    {target}")
    answer(
        f"would ask for  {cluster.num_workers} x {1 + cluster.loader_workers} CPUs"
        f"{gpus[cluster.gpus_per_worker]}"
    )
    answer(f"would write    {job.output}/<run>")


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
