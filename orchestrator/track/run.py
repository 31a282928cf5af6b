"""Where a run is recorded: a note in its folder, and the links that show it."""

import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

from orchestrator.store.run_folder import RunFolder

LOCAL_SERVER = "http://127.0.0.1:5000"
"""Where `mlflow ui` listens by default."""


@dataclass(frozen=True, kw_only=True)
class RecordPlaces:
    """Where the record of a run is kept (uri, ids), and how a person opens it.

    command: starts the server that the links lead to, for a record in a file.
    """

    uri: str
    experiment_id: str
    run_id: str
    link: str
    charts: str
    command: str | None


@dataclass(frozen=True)
class TrackedRun:
    """Where a run is recorded."""

    uri: str
    experiment_id: str
    run_id: str

    @property
    def link(self) -> str:
        """The run's page on the tracking server, or on the one that `command` starts."""
        page = f"experiments/{self.experiment_id}/runs/{self.run_id}"
        return f"{self.server}/#/{page}?workflowType=machine_learning"

    @property
    def command(self) -> str | None:
        """The command that starts a server for records in a file."""
        if self.uri.startswith(("http://", "https://")):
            return None
        beside_python = Path(sys.executable).with_name("mlflow")
        on_path = shutil.which("mlflow")
        program = "mlflow" if on_path and Path(on_path) == beside_python else str(beside_python)
        return shlex.join([program, "ui", "--backend-store-uri", self.uri])

    def charts(self, names: Sequence[str]) -> str:
        """The link to one chart with a line for each of the named metrics."""
        return f"{self.server}/{charts_of([self], names)}"

    @property
    def server(self) -> str:
        """The tracking server, or the one that `command` starts."""
        return LOCAL_SERVER if self.command else self.uri.rstrip("/")


def charts_of(runs: Sequence[TrackedRun], names: Sequence[str]) -> str:
    """Return the page that shows metrics of runs of one server in one chart, from `#` on."""
    experiments = dict.fromkeys(run.experiment_id for run in runs)
    values = {
        "runs": [run.run_id for run in runs],
        "metric": names[0],
        "experiments": list(experiments),
        "plot_metric_keys": list(names),
    }
    query = "&".join(f"{key}={_quoted(value)}" for key, value in values.items())
    return f"#/metric?{query}&x_axis=step&workflowType=machine_learning"


def comparison_of(runs: Sequence[TrackedRun]) -> str:
    """Return MLflow's page that compares runs of one server, from `#` on."""
    experiments = dict.fromkeys(run.experiment_id for run in runs)
    query = f"runs={_quoted([run.run_id for run in runs])}&experiments={_quoted(list(experiments))}"
    return f"#/compare-runs?{query}&workflowType=machine_learning"


def remember(folder: RunFolder, run: TrackedRun, status: str) -> None:
    """Write to a run's folder where it is recorded, and the status of the record.

    What else was noted of the same record stays.
    """
    known = _note(folder)
    kept = known if known.get("run_id") == run.run_id else {}
    folder.record.write(json.dumps({**kept, **asdict(run), "status": status}))


def remember_end(folder: RunFolder, end: str) -> None:
    """Write to a run's folder that its record says how its trial ended."""
    folder.record.write(json.dumps({**_note(folder), "end": end}))


def remember_description(folder: RunFolder) -> None:
    """Write to a run's folder that its record has all that the run was given."""
    folder.record.write(json.dumps({**_note(folder), "described": "yes"}))


def remembered_description(folder: RunFolder) -> bool:
    """Return whether the record of a folder's run has all that the run was given."""
    return "described" in _note(folder)


def remembered_end(folder: RunFolder) -> str | None:
    """Return how the trial of a folder's run ended, if its record says it."""
    return _note(folder).get("end")


def remembered_run(folder: RunFolder) -> TrackedRun | None:
    """Return where the run of a folder is recorded; None without a readable note."""
    note = _note(folder)
    try:
        return TrackedRun(note["uri"], note["experiment_id"], note["run_id"])
    except KeyError:
        return None


def remembered_status(folder: RunFolder) -> str | None:
    """Return the status that orch last gave the record of a folder's run."""
    return _note(folder).get("status")


def _note(folder: RunFolder) -> dict[str, str]:
    """Return the texts in the note; none if it is missing, damaged or malformed."""
    try:
        note = folder.record.read_json()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    words = note.items() if isinstance(note, dict) else ()
    return {key: value for key, value in words if isinstance(value, str)}


def _quoted(value: object) -> str:
    return quote(json.dumps(value, separators=(",", ":")), safe="")
