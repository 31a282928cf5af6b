"""orch submit, orch resume: send a job file, or a run that ended, to a cluster."""

import shlex
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import click

from orchestrator.cli import dry_run as dry_run_of
from orchestrator.cli import follow as following
from orchestrator.cli import members
from orchestrator.cli.completion import complete_job_file, complete_run
from orchestrator.cli.dry_run import plan
from orchestrator.cli.links import job_page
from orchestrator.cli.members import Member
from orchestrator.cli.output import answer, answer_json, is_terminal, say
from orchestrator.cli.summary import as_dict, ways_on
from orchestrator.cli.sync import check_nothing_trains, send_the_rest
from orchestrator.cli.where import where
from orchestrator.cluster import target as targets
from orchestrator.cluster.target import Target
from orchestrator.errors import OrchError, Unreachable, UsageError
from orchestrator.job.paths import in_bucket
from orchestrator.run_facts import check_is_there
from orchestrator.runs import references, registry, trials, view
from orchestrator.runs.registry import Record
from orchestrator.runs.view import RunView
from orchestrator.state import State, is_final
from orchestrator.track.journal import Journal

if TYPE_CHECKING:
    from orchestrator.job.schema import Job
    from orchestrator.runs.submission import Place

Result = TypeVar("Result")

_set = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change a setting of the job."
)
_follow = click.option(
    "--follow/--detach",
    "follow",
    default=None,
    help="Stay until the job ends, or not. On a terminal, following is the default.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.command()
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(),
    shell_complete=complete_job_file,
)  # fmt: skip
@_set
@where
@click.option("--name", help="Name of the job, instead of the file's.")
@click.option(
    "--each-bit-width",
    is_flag=True,
    help="Train an individual network at each bit-width instead: NAME_8bit, NAME_6bit, ...",
)
@_follow
@click.option("--dry-run", is_flag=True, help="Print what would happen; start nothing.")
@_json
def submit(
    files: tuple[str, ...],
    overrides: tuple[str, ...],
    address: str | None,
    cluster: str | None,
    name: str | None,
    each_bit_width: bool,
    follow: bool | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train as a job FILE says; several jobs wait for one another where there is no room for all.

    A job that starts or learns from another one's run, by name, begins once that has finished.

    Without a configured cluster this starts a local one, which ends with its last followed job.

    \b
    Examples:
      orch submit jobs/quickstart.yaml --follow
      orch submit jobs/imagenet_r18.yaml --set cluster.num_workers=8 --dry-run
      orch submit jobs/activitynet_r50.yaml --address http://10.0.0.5:8265 --detach
      orch submit jobs/imagenet_r18.yaml --cluster lab --set cluster.num_workers=8
      orch submit jobs/cifar10_r18*.yaml --set seed=1 --detach
    \b
    Individual networks, and then Delta_B of one network at all bit-widths against them:
      orch submit jobs/quickstart.yaml --each-bit-width --follow
      orch submit jobs/quickstart.yaml --set reference.runs=quickstart
    """
    target = targets.configured(address, cluster)
    jobs = members.load_all(files, overrides, name, each_bit_width, target)
    several = each_bit_width or len(files) > 1
    if dry_run:
        raise click.exceptions.Exit(dry_run_of.show(jobs, target, several, as_json))
    from orchestrator.runs import submission

    places = members.each(
        jobs, lambda one: submission.check(one.job, target, say, awaited=one.awaited)
    )
    if len(jobs) > 1:
        grouped = submission.grouped([one.job for one in jobs])
        jobs = [replace(one, job=job) for one, job in zip(jobs, grouped, strict=True)]
        say(f"MLflow shows them below one run: {grouped[0].tracking.group}.")
    records = _submit_all(jobs, places, quiet=as_json and not follow)
    if each_bit_width and not as_json:
        _say_how_to_compare(files, records, jobs[0].job.points[0].name)
    _go_on(records, follow, as_json, several)


@click.command()
@click.argument("job_name", metavar="JOB", shell_complete=complete_run)
@_set
@where
@_follow
@_json
def resume(
    job_name: str,
    overrides: tuple[str, ...],
    address: str | None,
    cluster: str | None,
    follow: bool | None,
    as_json: bool,
) -> None:
    """Continue a run that has ended, from its last checkpoint; a search with the trials it lacks.

    Settings that change what is learned must stay; where and how it runs may change (cluster.*,
    tracking.*, checkpoint.* and some others), but not its folder.

    \b
    Examples:
      orch resume last
      orch resume imagenet_r18 --set cluster.num_workers=4 --follow
      orch resume search_lambda_p1_alpha --set search.trials=48
      orch resume search_lambda_p1_alpha.t007     trains a trial on, once its search has ended
    """
    run = registry.find(job_name).run
    with registry.locked(run):
        submitted = _resume(run, overrides, address, cluster)
    if submitted is None:
        return
    if not as_json or follow:
        _say_submitted(submitted)
    _go_on([submitted], follow, as_json)


def _resume(
    run: str, overrides: tuple[str, ...], address: str | None, cluster: str | None
) -> Record | None:
    """Submit a run again and return its record; None when only its metrics had to be sent.

    Call it under the lock of the run: another command may resume it at the same time.
    """
    record = registry.find(run)
    now = view.look(record)
    _check_ended(now, ways_on(record.run))
    if now.state is State.SUCCEEDED and Journal(record.folder).waiting() and not overrides:
        send_the_rest(now)
        return None
    if now.state is State.SUCCEEDED and not (record.is_search and overrides):
        raise UsageError(
            f"{record.run} has finished, there is nothing left to do; "
            f"`orch status {record.run}` shows its results."
        )
    if record.within:
        record = _by_itself(record)
    if record.is_search:
        check_nothing_trains(record)
    if record.local or in_bucket(record.run_dir):
        check_is_there(record.folder, record.reached)
    job = _changed(record, overrides)
    from orchestrator.runs import submission

    there = _where_again(record, address, cluster)
    place = submission.check(job, there, say, record.folder, references.awaited(job, there))
    known = registry.find(record.run)
    name = known.name if job.name == record.job.get("name") else job.name
    again = replace(known, job=job.as_dict(), name=name).again(time.time())
    say(f"Global batch {plan(job).sentence()}.")
    return submission.submit(again, job, place, say)


def _by_itself(trial: Record) -> Record:
    """Return the record of a trial as that of a run, whose search has ended."""
    search = view.look(registry.find(trial.search))
    _check_ended(search, "a trial is resumed by itself once its search has ended.")
    return replace(trial, job=trials.job_of(trial))


def _check_ended(now: RunView, advice: str) -> None:
    """Raise UsageError for a run that goes on, Unreachable when its cluster could tell."""
    if is_final(now.state):
        return
    if view.SILENT in now.note:
        raise Unreachable(f"{now.record.run} may still go on: {now.note} ({now.state}).")
    raise UsageError(f"{now.record.run} is still {now.state}; {advice}")


def _changed(record: Record, overrides: tuple[str, ...]) -> "Job":
    """Return the run's job with some settings changed.

    Raises CheckpointMismatch for others, and UsageError for another output.
    """
    from orchestrator.job.differ import check_unchanged
    from orchestrator.job.load import load_values

    loaded = load_values(record.job, record.run, overrides)
    job = references.resolved(loaded.job)
    check_unchanged(record.job, job.as_dict(), record.run)
    if job.output != record.job.get("output", job.output):
        raise UsageError(
            f"output: the folder of {record.run} is {record.run_dir}, and a run cannot move; for "
            "another output, `orch submit` the job as a new run."
        )
    members.warn([loaded])
    return job


def _where_again(record: Record, address: str | None, cluster: str | None) -> Target | None:
    """A run continues on its old cluster, unless another one is named."""
    if target := targets.chosen(address, cluster):
        return target
    if record.local:
        return None
    if record.cluster:
        return targets.of_name(record.cluster, "the cluster of its last attempt")
    return Target(record.address, "the cluster of its last attempt")


def _submit_all(jobs: Sequence[Member], places: "Sequence[Place]", *, quiet: bool) -> list[Record]:
    """Submit jobs in their order; after an error, say which are already on their way."""
    from orchestrator.runs import submission

    records: list[Record] = []
    try:
        for one, place in zip(jobs, places, strict=True):
            say(f"Global batch {plan(one.job).sentence()}.")
            record = submission.new_record(one.job, one.file, one.folder)
            records.append(submission.submit(record, one.job, place, say))
            if not quiet:
                _say_submitted(records[-1])
    except OrchError:
        if records:
            say(f"Already submitted: {', '.join(record.run for record in records)}.")
        raise
    return records


def _say_submitted(record: Record) -> None:
    say(f"Submitted {record.run}: {job_page(record.address, RunView(record, State.PENDING))}")


def _go_on(
    records: list[Record], follow: bool | None, as_json: bool, several: bool = False
) -> None:
    """Follow the submitted jobs, one after another, or print how to."""
    if follow if follow is not None else is_terminal() and not as_json:
        _follow_all(records, as_json, several)
        return
    if as_json:
        _answer_views([RunView(record, State.PENDING) for record in records], several)
        return
    for record in records:
        answer(record.run)
    one = records[0].run
    say(f"`orch logs -f {one}` follows it, `orch status {one}` prints its state.")
    if records[0].local:
        say("The local Ray cluster stays until `orch down`, or until `orch wait` sees the end.")


def _follow_all(records: list[Record], as_json: bool, several: bool) -> None:
    """Follow jobs to their ends; exit with the code of the first that failed."""
    views: list[RunView] = []
    codes: list[int] = []
    for record in records:
        if several:
            say(f"{record.run}:")
        views.append(following.follow(record))
        codes.append(following.conclude(views[-1], quiet=as_json))
    following.tidy(records[-1])
    if as_json:
        _answer_views(views, several)
    raise click.exceptions.Exit(next(filter(None, codes), 0))


def _answer_views(views: list[RunView], several: bool) -> None:
    documents = [as_dict(view) for view in views]
    answer_json({"runs": documents} if several else documents[0])


def _say_how_to_compare(files: Sequence[str], records: Sequence[Record], point: str) -> None:
    """Print how to get Delta_B against these individual runs."""
    name = records[0].name.removesuffix(f"_{point}")
    for file in files if len(files) == 1 else ():
        say(
            "When all have finished, this compares one network at all bit-widths with them: "
            f"orch submit {shlex.quote(file)} --set reference.runs={name}"
        )
