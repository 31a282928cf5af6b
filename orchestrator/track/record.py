"""The MLflow record of a run: opened and closed by its driver, brought up to date by anyone."""

import json
import platform
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import yaml

from models.bitwidth import name_of
from orchestrator import __version__
from orchestrator.errors import OrchError, RecordGone, UsageError
from orchestrator.job.schema import Job, job_from_dict
from orchestrator.track import keys, recorder
from orchestrator.track.run import TrackedRun, charts_of, remembered_run

Tell = Callable[[str], None]


def open_record(run_dir: Path, tell: Tell) -> TrackedRun:
    """Return the record of the run in a folder, opened again, or a new one in the place of one
    that is gone.

    Raises Unreachable and Refused as the tracking server does.
    """
    job = _job(run_dir)
    known = remembered_run(run_dir)
    uri = recorder.tracking_uri(job.tracking.uri or (known.uri if known else None), job.output)
    try:
        tracked = recorder.open_run(uri, job.tracking.experiment, run_dir.name, run_dir)
    except RecordGone as error:
        return _replace(error, uri, job, run_dir, tell)
    _describe(tracked, job, run_dir)
    return tracked


def close_record(
    run_dir: Path, tracked: TrackedRun, status: str, tell: Tell, table: str | None = None
) -> TrackedRun:
    """Send what waits and set the record's final status; return the record.

    One that is gone is replaced. Raises Unreachable and Refused as the tracking server does.
    """
    job = _job(run_dir)
    try:
        _close(job, run_dir, tracked, status, table)
    except RecordGone as error:
        tracked = _replace(error, tracked.uri, job, run_dir, tell)
        _close(job, run_dir, tracked, status, table)
    return tracked


def sync(run_dir: Path, status: str, tell: Tell) -> TrackedRun:
    """Bring the record of a run that has ended up to date, from its folder alone.

    Raises UsageError when the folder does not hold a run, else as the tracking server does.
    """
    tracked = remembered_run(run_dir) or open_record(run_dir, tell)
    return close_record(run_dir, tracked, status, tell, _table(run_dir))


def places(run_dir: Path, tracked: TrackedRun) -> dict[str, str | None]:
    """Return where the record is seen, as the job says it when it starts."""
    return {
        "mlflow_experiment_id": tracked.experiment_id,
        "mlflow_run_id": tracked.run_id,
        "mlflow_uri": tracked.uri,
        "mlflow_link": tracked.link,
        "mlflow_charts": tracked.charts(_chart_metrics(_job(run_dir))),
        "mlflow_command": tracked.command,
    }


def _job(run_dir: Path) -> Job:
    file = run_dir / "job.yaml"
    try:
        return job_from_dict(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise UsageError(f"{file} cannot be read, and the run not be recorded: {error}") from error


def _table(run_dir: Path) -> str | None:
    try:
        return str(json.loads((run_dir / "result.json").read_text(encoding="utf-8"))["table"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _chart_metrics(job: Job) -> list[str]:
    """Return the metrics that belong into one chart: the result of each bit-width."""
    name = getattr(job.data, "metric", "top1")
    return [keys.metric(name, bits) for bits in job.bit_widths]


def _replace(error: OrchError, uri: str, job: Job, run_dir: Path, tell: Tell) -> TrackedRun:
    tell(f"{error} A new MLflow run takes its place, with all metrics so far.")
    tracked = recorder.open_new_run(uri, job.tracking.experiment, run_dir.name, run_dir)
    _describe(tracked, job, run_dir)
    return tracked


def _describe(tracked: TrackedRun, job: Job, run_dir: Path) -> None:
    """Store what the run was given, and send the metrics that it has already."""
    texts = {
        "job.yaml": (run_dir / "job.yaml").read_text(encoding="utf-8"),
        "environment.txt": _environment(job),
    }
    recorder.describe(tracked, _headline(job), texts)
    recorder.set_description(tracked, _description(tracked, job, run_dir))
    recorder.Recorder(tracked, run_dir).deliver()


def _close(job: Job, run_dir: Path, tracked: TrackedRun, status: str, table: str | None) -> None:
    recorder.Recorder(tracked, run_dir).deliver()
    recorder.set_description(tracked, _description(tracked, job, run_dir, table))
    recorder.close_run(tracked, run_dir, status, table)


def _description(tracked: TrackedRun, job: Job, run_dir: Path, table: str | None = None) -> str:
    """Return what stands at the top of the run's page, in Markdown."""
    charts = f"[All bit-widths in one chart]({charts_of([tracked], _chart_metrics(job))})"
    return "\n\n".join([*([table] if table else []), charts, f"`{run_dir.name}` in `{run_dir}`"])


def _headline(job: Job) -> dict[str, str]:
    """Return the few settings by which runs are compared."""
    chosen = {
        "model": job.model.name,
        "data": job.data.name,
        "method": job.method.name,
        "bit_widths": " ".join(map(name_of, job.bit_widths)),
        "epochs": job.training.epochs,
        "global_batch": job.training.global_batch,
        "lr": job.optimizer.lr,
        "clip_init": job.optimizer.clip.init,
        "clip_lr": job.optimizer.clip.lr,
        "init": job.model.init_weights if job.model.init == "scratch" else "float",
        "precision": job.training.precision,
        "deterministic": job.training.deterministic,
        "seed": job.seed,
    }
    settings = job.method.model_dump(mode="json", by_alias=True)
    chosen |= {f"method.{key}": value for key, value in settings.items() if key != "name"}
    return {key: str(value) for key, value in chosen.items()}


def _environment(job: Job) -> str:
    packages = sorted(f"{d.metadata['Name']}=={d.version}" for d in metadata.distributions())
    head = [f"orch {__version__}", f"python {sys.version.split()[0]}", platform.platform()]
    training = job.training
    head.append(
        f"precision {training.precision}, TF32 on CUDA {'on' if training.tf32 else 'off'}, "
        f"deterministic algorithms {'on' if training.deterministic else 'off'}"
    )
    return "\n".join([*head, "", *packages, ""])
