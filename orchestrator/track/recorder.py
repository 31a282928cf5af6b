"""Record a run in MLflow: the driver opens and closes the run, rank 0 sends its metrics."""

import json
import logging
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestrator.errors import Unreachable, UsageError
from orchestrator.files import write_whole
from orchestrator.spec.uri import sqlite_file, sqlite_uri
from orchestrator.track import keys
from orchestrator.track.delta_b import ReferenceResults
from orchestrator.track.journal import Journal

RUN_FILE = "mlflow_run.json"
LOCAL_SERVER = "http://127.0.0.1:5000"
"""Where `mlflow ui` listens unless told otherwise."""

_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
"""MLflow's own patience with a dead server is four minutes a call; the journal keeps what is
not sent, so a few seconds are enough."""


@dataclass(frozen=True)
class TrackedRun:
    """Where a run is recorded."""

    uri: str
    experiment_id: str
    run_id: str

    @property
    def link(self) -> str:
        """The run's page on the tracking server, or on the one that `command` starts."""
        base = LOCAL_SERVER if self.command else self.uri.rstrip("/")
        page = f"experiments/{self.experiment_id}/runs/{self.run_id}"
        return f"{base}/#/{page}?workflowType=machine_learning"

    @property
    def command(self) -> str | None:
        """The command that starts a server for records that are kept without one."""
        if self.uri.startswith(("http://", "https://")):
            return None
        beside_python = Path(sys.executable).with_name("mlflow")
        on_path = shutil.which("mlflow")
        program = "mlflow" if on_path and Path(on_path) == beside_python else str(beside_python)
        return shlex.join([program, "ui", "--backend-store-uri", self.uri])


def tracking_uri(configured: str | None, output: Path) -> str:
    """Return the job's tracking URI, else MLFLOW_TRACKING_URI, else a sqlite file in `output`."""
    chosen = configured or os.environ.get("MLFLOW_TRACKING_URI")
    return chosen or sqlite_uri(output / "mlflow.db")


def check_reachable(uri: str) -> None:
    """Ask the tracking server for its experiments. Raises Unreachable, quickly.

    A sqlite file that is not there yet is not made; its folder must be.
    """
    if uri.startswith("sqlite:///") and not sqlite_file(uri).exists():
        return
    with _client(uri) as client:
        client.search_experiments(max_results=1)


def open_run(uri: str, experiment: str, name: str, folder: Path) -> TrackedRun:
    """Return the run that `folder` remembers at this server, set running again, or a new one.

    A new one is sent all metrics that the folder holds. Raises Unreachable when the server does
    not answer.
    """
    known = remembered_run(folder)
    with _client(uri) as client:
        if known and known.uri == uri:
            client.update_run(known.run_id, status="RUNNING")
            return known
        experiment_id = _experiment(client, experiment, uri, folder.parent)
        created = client.create_run(experiment_id=experiment_id, run_name=name)
        run = TrackedRun(uri, experiment_id, created.info.run_id)
    Journal(folder).mark_sent(0)
    write_whole(folder / RUN_FILE, json.dumps(asdict(run)))
    return run


def remembered_run(folder: Path) -> TrackedRun | None:
    """Return where the run of a folder is recorded; None where no readable note tells it."""
    try:
        return TrackedRun(**json.loads((folder / RUN_FILE).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def describe(run: TrackedRun, params: Mapping[str, str], texts: Mapping[str, str]) -> None:
    """Store the parameters by which runs are compared, and texts (name -> content) as artifacts."""
    with _client(run.uri) as client:
        given = client.get_run(run.run_id).data.params
        for key, value in params.items():
            if key not in given:
                client.log_param(run.run_id, key, value)
        for name, text in texts.items():
            client.log_text(run.run_id, text, name)


def close_run(run: TrackedRun, status: str, table: str | None = None) -> None:
    """Set the final status (FINISHED, FAILED or KILLED) and keep the table, if there is one."""
    with _client(run.uri) as client:
        if table is not None:
            client.log_text(run.run_id, table, "results.md")
            client.set_tag(run.run_id, "mlflow.note.content", table)
        client.set_terminated(run.run_id, status=status)


def reference_runs(uri: str, metric: str, runs: Mapping[int, str]) -> ReferenceResults:
    """Return the results of individually trained runs, by bit-width, from their last epochs.

    Raises UsageError when a run is unknown or has no such metric, Unreachable without a server.
    """
    values: dict[int, float] = {}
    with _client(uri) as client:
        for bits, run_id in runs.items():
            name = keys.metric(metric, bits)
            found = _run_metrics(client, run_id)
            if name not in found:
                raise UsageError(
                    f"reference.runs: the run {run_id} at {uri} "
                    + (f"has no metric {name}." if found else "is unknown or has no metrics.")
                )
            values[bits] = found[name]
    named = ", ".join(f"{bits}: {run_id}" for bits, run_id in runs.items())
    return ReferenceResults(f"own individual runs ({named})", metric, values)


class Recorder:
    """Send the metrics of rank 0. A server that is away costs a warning, never a metric."""

    def __init__(self, run: TrackedRun, folder: Path) -> None:
        self._run = run
        self._journal = Journal(folder)

    def log(self, step: int, metrics: Mapping[str, float]) -> str | None:
        """Record metrics at a step (the epoch). Returns a warning when they wait to be sent."""
        self._journal.append(step, metrics)
        return self.send()

    def send(self) -> str | None:
        """Send all that waits. Returns a warning when the server does not take it."""
        from mlflow.entities import Metric

        lines, mark = self._journal.unsent()
        rows = [
            Metric(key, value, line["time_ms"], line["step"])
            for line in lines
            for key, value in line["metrics"].items()
        ]
        if not rows:
            return None
        try:
            with _client(self._run.uri) as client:
                client.log_batch(self._run.run_id, metrics=rows)
        except Unreachable as error:
            return f"{error} {len(rows)} metrics wait in the run's folder and are sent later."
        self._journal.mark_sent(mark)
        return None


@contextmanager
def _client(uri: str) -> Iterator[Any]:
    """Give an MLflow client with little patience; what its server refuses is Unreachable."""
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    for name in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.WARNING)
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield MlflowClient(tracking_uri=uri)
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        reason = str(error).splitlines()[0][:300]
        message = (
            f"The tracking server at {uri} does not take the record ({reason}). Start it, or "
            "name another with tracking.uri or MLFLOW_TRACKING_URI."
        )
        password = urlsplit(uri).password
        raise Unreachable(message.replace(password, "***") if password else message) from error


def _experiment(client: Any, name: str, uri: str, output: Path) -> str:
    """Return the experiment's id; a new one in a sqlite file keeps its artifacts beside it."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    beside = (output / "mlartifacts").as_uri() if uri.startswith("sqlite:") else None
    return str(client.create_experiment(name, artifact_location=beside))


def _run_metrics(client: Any, run_id: str) -> dict[str, float]:
    from mlflow.exceptions import MlflowException

    try:
        return dict(client.get_run(run_id).data.metrics)
    except MlflowException:
        return {}
