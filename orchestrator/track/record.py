"""The MLflow record of a run: opened, filled and closed from its folder, by any process."""

import platform
import sys
from collections.abc import Callable
from functools import cache
from importlib import metadata

import yaml
from pydantic import BaseModel

from orchestrator import __version__
from orchestrator.data import metric_of
from orchestrator.errors import OrchError, RecordGone, UsageError
from orchestrator.events import Recorded
from orchestrator.job.schema import Job, job_from_dict
from orchestrator.run_facts import Events, facts_of, finished_in
from orchestrator.store.run_folder import RunFolder
from orchestrator.track import delivery, family, keys, recorder
from orchestrator.track.journal import Journal
from orchestrator.track.run import (
    RecordPlaces,
    TrackedRun,
    charts_of,
    remember,
    remember_description,
    remembered_description,
    remembered_run,
)

Tell = Callable[[str], None]

NOT_FOUND = "No MLflow run of this name is there; a new one begins, with all metrics so far."


def tracking_uri(job: Job, folder: RunFolder | None) -> str:
    """Return where the record of a job's run is, or will be.

    A run continues the record that its folder names, unless the job names a place. Raises
    UsageError for a MLFLOW_TRACKING_URI that cannot hold records.
    """
    known = (remembered_run(folder) or _said(folder)) if folder else None
    return recorder.tracking_uri(job.tracking.uri or (known.uri if known else None), job.output)


def open_record(folder: RunFolder, tell: Tell) -> TrackedRun:
    """Return the record of the run in a folder, reopened, or a new one if that is gone.

    What the run was given is stored in it; its metrics are not sent yet. Raises Unreachable and
    Refused as the tracking server does.
    """
    job = _job(folder)
    uri = tracking_uri(job, folder)
    _mend_note(uri, job, folder, tell)
    try:
        tracked = recorder.open_run(
            uri, job.tracking.experiment, folder.name, folder, _family(uri, job, folder)
        )
        _describe(tracked, job, folder)
    except RecordGone as error:
        return _replace(error, uri, job, folder, tell)
    return tracked


def deliver(folder: RunFolder, tracked: TrackedRun, tell: Tell) -> tuple[TrackedRun, bool]:
    """Send a portion of the metrics that wait.

    Returns the record, which is a new one where that was gone, and whether more may wait. Raises
    Unreachable and Refused as the tracking server does.
    """
    try:
        return tracked, delivery.deliver(tracked, folder, tell)
    except RecordGone as error:
        return _replace(error, tracked.uri, _job(folder), folder, tell), True


def close_record(
    folder: RunFolder, tracked: TrackedRun, status: str, tell: Tell, table: str | None = None
) -> tuple[TrackedRun, int]:
    """Send what waits and set the record's final status.

    Returns the record, a new one where that was gone, and how many metrics were sent to it. Raises
    Unreachable and Refused as the tracking server does.
    """
    job = _job(folder)
    try:
        return tracked, _close(job, folder, tracked, status, table, tell)
    except RecordGone as error:
        tracked = _replace(error, tracked.uri, job, folder, tell)
        return tracked, _close(job, folder, tracked, status, table, tell)


def sync(folder: RunFolder, status: str, tell: Tell) -> TrackedRun:
    """Return the record of a run that has ended, brought up to date as `send` does."""
    return send(folder, status, tell)[0]


def send(folder: RunFolder, status: str, tell: Tell) -> tuple[TrackedRun, int]:
    """Bring the record of a run that has ended up to date, from its folder alone.

    Returns it and how many metrics were sent. Raises UsageError when the folder does not hold a
    run, else as the tracking server does.
    """
    if damaged := Journal(folder).damaged():
        tell(damaged)
    tracked = remembered_run(folder)
    if tracked is None or not remembered_description(folder):
        tracked = open_record(folder, tell)
    return close_record(folder, tracked, status, tell, _table(folder))


def places(folder: RunFolder, tracked: TrackedRun) -> RecordPlaces:
    """Return where the record can be seen, as the job prints it when it starts."""
    return RecordPlaces(
        uri=tracked.uri,
        experiment_id=tracked.experiment_id,
        run_id=tracked.run_id,
        link=tracked.link,
        charts=tracked.charts(_chart_metrics(_job(folder))),
        command=tracked.command,
    )


def announce(folder: RunFolder, tracked: TrackedRun) -> None:
    """Say where the record is, unless the facts of the run say so already."""
    where = places(folder, tracked)
    if facts_of(folder).record != where:
        Events(folder).say(Recorded(mlflow=where))


def keep_place(folder: RunFolder, tracked: TrackedRun) -> None:
    """Let the facts of a run that has ended say where its record is."""
    Events(folder).keep(Recorded(mlflow=places(folder, tracked)))


def _mend_note(uri: str, job: Job, folder: RunFolder, tell: Tell) -> None:
    """Find the record of a run again whose folder had a note of it, which is lost or damaged."""
    if remembered_run(folder) is not None or not _was_recorded(folder):
        return
    trouble = "damaged" if folder.record.exists() else "missing"
    said = _said(folder)
    try:
        found = recorder.find_again(uri, job.tracking.experiment, folder.name, said)
    except RecordGone:
        found = None
    if found:
        remember(folder, found, "RUNNING")
    tell(
        f"{folder.record} is {trouble}. "
        + ("The run's MLflow run was found again and goes on." if found else NOT_FOUND)
    )


def _was_recorded(folder: RunFolder) -> bool:
    return any(file.exists() for file in (folder.record, folder.recorded, folder.metrics_sent))


def _said(folder: RunFolder) -> TrackedRun | None:
    """Return where it was said that the record of a run is."""
    where = facts_of(folder).record
    return TrackedRun(where.uri, where.experiment_id, where.run_id) if where else None


def _job(folder: RunFolder) -> Job:
    try:
        return job_from_dict(yaml.safe_load(folder.job.read()))
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise UsageError(
            f"{folder.job} cannot be read, so the run cannot be recorded: {error}"
        ) from error


def _table(folder: RunFolder) -> str | None:
    try:
        return finished_in(folder).table
    except (OSError, ValueError):
        return None


def _chart_metrics(job: Job) -> list[str]:
    """Return the metrics that belong in one chart: the result at each operating point.

    A search has none of its own but the best result so far.
    """
    if job.search:
        return [family.BEST]
    name = metric_of(job.data)
    return [keys.metric(name, point.name) for point in job.points]


def _replace(error: OrchError, uri: str, job: Job, folder: RunFolder, tell: Tell) -> TrackedRun:
    tell(f"{error} A new MLflow run takes its place, with all metrics so far.")
    tracked = recorder.open_new_run(
        uri, job.tracking.experiment, folder.name, folder, _family(uri, job, folder)
    )
    _describe(tracked, job, folder)
    return tracked


def _family(uri: str, job: Job, folder: RunFolder) -> dict[str, str]:
    """Return the tags of a trial, which belongs to its search, or those of a member of a group."""
    return family.tags(folder) or family.group_tags(uri, job.tracking)


def _describe(tracked: TrackedRun, job: Job, folder: RunFolder) -> None:
    texts = {
        folder.job.name: folder.job.read(),
        "environment.txt": _environment(job),
    }
    recorder.describe(tracked, family.searched(folder, job.as_dict()) | _headline(job), texts)
    recorder.set_description(tracked, _description(tracked, job, folder))
    remember_description(folder)


def _close(
    job: Job,
    folder: RunFolder,
    tracked: TrackedRun,
    status: str,
    table: str | None,
    tell: Tell,
) -> int:
    """Send what waits, then the status; return how many metrics were sent."""
    sent = delivery.deliver_all(tracked, folder, tell)
    if folder.classes.exists():
        recorder.describe(tracked, {}, {folder.classes.name: folder.classes.read()})
    recorder.set_description(tracked, _description(tracked, job, folder, table))
    recorder.close_run(tracked, folder, status, table)
    return sent


def _description(tracked: TrackedRun, job: Job, folder: RunFolder, table: str | None = None) -> str:
    """Return the text at the top of the run's page, in Markdown."""
    if about := family.about(folder):
        return about
    charts = f"[All bit-widths in one chart]({charts_of([tracked], _chart_metrics(job))})"
    return "\n\n".join([*([table] if table else []), charts, f"`{folder.name}` in `{folder}`"])


def _headline(job: Job) -> dict[str, str]:
    """Return the few settings by which runs are compared."""
    chosen = {
        "model": job.model.name,
        "data": job.data.name,
        "method": job.method.name,
        "weights": job.quantizer.weights.name,
        "activations": job.quantizer.activations.name,
        "points": " ".join(point.name for point in job.points),
        "epochs": job.epochs,
        "global_batch": job.training.global_batch,
        "lr": job.optimizer.lr,
        "clip_lr": job.optimizer.clip.lr,
        "init": job.model.init_weights if job.start.source == "scratch" else job.start.source,
        "arithmetic": job.training.arithmetic,
        "precision": job.training.precision,
        "deterministic": job.training.deterministic,
        "seed": job.seed,
    }
    chosen |= _settings("method", job.method)
    chosen |= _settings("weights", job.quantizer.weights)
    chosen |= _settings("activations", job.quantizer.activations)
    return {key: str(value) for key, value in chosen.items()}


def _settings(section: str, component: BaseModel) -> dict[str, object]:
    values = component.model_dump(mode="json", by_alias=True)
    return {f"{section}.{key}": value for key, value in values.items() if key != "name"}


def _environment(job: Job) -> str:
    head = [f"orch {__version__}", f"python {sys.version.split()[0]}", platform.platform()]
    training = job.training
    head.append(
        f"precision {training.precision}, TF32 on CUDA {'on' if training.tf32 else 'off'}, "
        f"deterministic algorithms {'on' if training.deterministic else 'off'}"
    )
    return "\n".join([*head, "", *_packages(), ""])


@cache
def _packages() -> tuple[str, ...]:
    """Return what is installed, once for all trials of a search."""
    return tuple(sorted(f"{d.metadata['Name']}=={d.version}" for d in metadata.distributions()))
