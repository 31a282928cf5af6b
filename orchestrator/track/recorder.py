"""The record of a run in MLflow, as its driver opens and closes it."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from orchestrator.errors import RecordGone, Refused
from orchestrator.job.tracking_uri import checked, file_in, sqlite_file
from orchestrator.store.run_folder import RunFolder
from orchestrator.track import database, rest
from orchestrator.track.journal import Journal
from orchestrator.track.run import TrackedRun, remember, remembered_run
from orchestrator.track.server import mlflow_client

RUN_TAG = "orch.run"
"""The tag that names a run as orch does."""

NO_TAGS: Mapping[str, str] = MappingProxyType({})

_TRIAL = re.compile(r"(.+)\.(t\d{3,}\w*)")

GROUP_TAG = "orch.group"
"""The tag of the run that stands for a group of runs, their parent."""


class Reading(NamedTuple):
    """A metric at a time, after an optimizer step."""

    key: str
    value: float
    time_ms: int
    step: int


def tracking_uri(configured: str | None, output: str) -> str:
    """Return the job's tracking URI, else MLFLOW_TRACKING_URI, else a sqlite file in `output`.

    Raises UsageError for a MLFLOW_TRACKING_URI that contains a secret or cannot hold records, and
    for an output in which there can be no such file.
    """
    if configured:
        return configured
    if given := os.environ.get("MLFLOW_TRACKING_URI"):
        return checked(given)
    return file_in(output)


def check_reachable(uri: str, experiment: str) -> None:
    """Ask the tracking server for the experiment.

    Raises Unreachable, quickly, without an answer, and Refused when the experiment was deleted or
    access is denied. A sqlite file that does not exist yet is not created.
    """
    file = sqlite_file(uri)
    if file and (not file.exists() or database.is_fine(file, experiment)):
        return
    if uri.startswith(("http://", "https://")) and rest.is_fine(uri, experiment):
        return
    with mlflow_client(uri, hurry=True) as client:
        found = client.get_experiment_by_name(experiment)
        if found is not None:
            _check_active(found, uri)


def open_run(
    uri: str, experiment: str, name: str, folder: RunFolder, tags: Mapping[str, str] = NO_TAGS
) -> TrackedRun:
    """Return the run that `folder` names at this server, set running again, or a new one.

    A new one gets the tags and all metrics in the folder. Raises RecordGone when the named run no
    longer exists, Unreachable and Refused as the server does.
    """
    known = remembered_run(folder)
    if known and known.uri == uri:
        with mlflow_client(uri) as client:
            client.update_run(known.run_id, status="RUNNING")
        remember(folder, known, "RUNNING")
        return known
    return open_new_run(uri, experiment, name, folder, tags)


def open_new_run(
    uri: str, experiment: str, name: str, folder: RunFolder, tags: Mapping[str, str] = NO_TAGS
) -> TrackedRun:
    """Return a new run with these tags, and with all metrics in the folder.

    One that was created before takes its place if its answer was lost: a server that was frozen
    does what it was asked when it wakes up.
    """
    with mlflow_client(uri, create=True) as client:
        experiment_id = _experiment(client, experiment, uri)
        made = _open_runs(client, experiment_id, name)
        if made:
            run_id = made[0]
        else:
            every = {RUN_TAG: name, **tags}
            created = client.create_run(experiment_id, run_name=short_name(name), tags=every)
            run_id = created.info.run_id
        run = TrackedRun(uri, experiment_id, run_id)
    Journal(folder).mark_sent(0)
    remember(folder, run, "RUNNING")
    return run


def find_again(uri: str, experiment: str, name: str, said: TrackedRun | None) -> TrackedRun | None:
    """Return the record of a run at a server by the run's name, whatever its status; or None.

    said: where it was; of several records of the run, that one, else one that says RUNNING, else
    the latest. Records of other runs, as of the one whose folder was copied, and deleted ones do
    not count. Raises RecordGone, Unreachable and Refused as the server does.
    """
    with mlflow_client(uri) as client:
        by_name = client.get_experiment_by_name(experiment)
        places = {by_name.experiment_id} if by_name else set()
        if said and said.uri == uri:
            places.add(said.experiment_id)
        if not places:
            return None
        found = client.search_runs(sorted(places), f"tags.`{RUN_TAG}` = '{name}'")
    last_run = said.run_id if said else ""

    def fits(run: Any) -> tuple[bool, bool, tuple[int, str]]:
        return run.run_id == last_run, run.status == "RUNNING", _age(run)

    best = max((run.info for run in found), key=fits, default=None)
    return TrackedRun(uri, best.experiment_id, best.run_id) if best else None


def open_group(uri: str, experiment: str, group: str) -> str:
    """Return the id of the run that stands for a group, a new one if there is none.

    Its jobs may start at the same moment and see none: of several new ones the first is kept.
    """
    with mlflow_client(uri, create=True) as client:
        experiment_id = _experiment(client, experiment, uri)
        found = _groups(client, experiment_id, group)
        if not found:
            tags = {GROUP_TAG: group}
            made = client.create_run(experiment_id, tags=tags, run_name=short_name(group)).info
            client.set_terminated(made.run_id, "FINISHED")
            found = _groups(client, experiment_id, group)
            if found[0] != made.run_id:
                client.delete_run(made.run_id)
        return found[0]


def _open_runs(client: Any, experiment_id: str, name: str) -> list[str]:
    """Return the ids of the records of a run that say RUNNING, the first one first."""
    wanted = f"tags.`{RUN_TAG}` = '{name}' and attributes.status = 'RUNNING'"
    found = client.search_runs([experiment_id], wanted)
    return [run.run_id for run in sorted((run.info for run in found), key=_age)]


def _groups(client: Any, experiment_id: str, group: str) -> list[str]:
    """Return the ids of the runs that stand for a group, the first one first."""
    found = client.search_runs([experiment_id], f"tags.`{GROUP_TAG}` = '{group}'")
    return [run.run_id for run in sorted((run.info for run in found), key=_age)]


def _age(run: Any) -> tuple[int, str]:
    return run.start_time, run.run_id


def short_name(run: str) -> str:
    """Return the name of a run in MLflow, whose tables and legends cut names at 10 to 20 letters.

    The part in which runs differ comes first: `job-20260102-030405-a1b2` is `a1b2 job`, and its
    trial `job-20260102-030405-a1b2.t007` is `t007 a1b2 job`.
    """
    if trial := _TRIAL.fullmatch(run):
        return f"{trial[2]} {short_name(trial[1])}"
    job, *rest = run.rsplit("-", 3)
    return f"{rest[-1]} {job}" if len(rest) == 3 else run


def describe(run: TrackedRun, params: Mapping[str, str], texts: Mapping[str, str]) -> None:
    """Store the parameters by which runs are compared, and texts (name -> content) as artifacts."""
    with mlflow_client(run.uri) as client:
        from mlflow.entities import Param

        given = client.get_run(run.run_id).data.params
        new = [Param(key, value) for key, value in params.items() if key not in given]
        client.log_batch(run.run_id, params=new)
        for name, text in texts.items():
            client.log_text(run.run_id, text, name)


def mark(run: TrackedRun, metrics: Sequence[Reading], tags: Mapping[str, str]) -> None:
    """Store single metrics and tags; a metric that is stored again stays one."""
    with mlflow_client(run.uri) as client:
        from mlflow.entities import Metric, RunTag

        client.log_batch(
            run.run_id,
            metrics=[Metric(*reading) for reading in metrics],
            tags=[RunTag(key, value) for key, value in tags.items()],
        )


def keep_files(run: TrackedRun, files: Sequence[Path], folder: str = "") -> None:
    """Store files as artifacts of a run, in a folder of it; others of the same name go."""
    with mlflow_client(run.uri) as client:
        for file in files:
            client.log_artifact(run.run_id, str(file), folder or None)


def set_description(run: TrackedRun, text: str) -> None:
    """Put a text in Markdown at the top of the run's page."""
    with mlflow_client(run.uri) as client:
        client.set_tag(run.run_id, "mlflow.note.content", text)


def close_run(
    run: TrackedRun,
    folder: RunFolder,
    status: str,
    table: str | None = None,
    *,
    ended: float | None = None,
    hurry: bool = False,
) -> None:
    """Set the final status (FINISHED, FAILED or KILLED) and keep the table, if there is one.

    Other records of the run, whose creation was answered too late, are removed.

    ended: when the run ended, in seconds since 1970, if that was not now.
    """
    with mlflow_client(run.uri, hurry=hurry) as client:
        client.set_terminated(run.run_id, status, int(ended * 1000) if ended else None)
        for other in _open_runs(client, run.experiment_id, folder.name):
            client.delete_run(other)
        if table is not None:
            client.log_text(run.run_id, table, folder.table.name)
    remember(folder, run, status)


def close_abandoned(folder: RunFolder, status: str) -> None:
    """Record how a folder's run ended when its driver was killed before it could. A record that is
    gone is ignored.

    Raises Unreachable or Refused, quickly.
    """
    run = remembered_run(folder)
    if run is None:
        return
    try:
        close_run(run, folder, status, ended=folder.last_sign_of_life(), hurry=True)
    except RecordGone:
        remember(folder, run, status)


def close_unless_closed(uri: str, run_id: str, status: str) -> None:
    """Set the final status of a run that still says RUNNING, known only by its id."""
    with mlflow_client(uri, hurry=True) as client:
        if client.get_run(run_id).info.status == "RUNNING":
            client.set_terminated(run_id, status)


def _check_active(experiment: Any, uri: str) -> None:
    if experiment.lifecycle_stage != "active":
        raise Refused(
            f"The experiment {experiment.name!r} was deleted at {uri}. Restore it (`mlflow "
            f"experiments restore --experiment-id {experiment.experiment_id}` with "
            f"MLFLOW_TRACKING_URI={uri}), or name another with tracking.experiment."
        )


def _experiment(client: Any, name: str, uri: str) -> str:
    """Return the experiment's id; a new one in a sqlite file keeps its artifacts beside it."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        file = sqlite_file(uri)
        beside = file.with_name("mlartifacts").as_uri() if file else None
        try:
            return str(client.create_experiment(name, artifact_location=beside))
        except MlflowException:
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    _check_active(found, uri)
    return str(found.experiment_id)
